"""Moving pictures: how they move, and (with the extra `video`) how a clip is painted."""
