"""Style transfer for clips; needs the extra `video`."""
