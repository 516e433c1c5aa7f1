"""Motion in clips: optical flow, warping, scene cuts and flicker."""
