"""Reading and writing clips and folders of frames."""
