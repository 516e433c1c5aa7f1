"""A sound in the style of another sound."""
