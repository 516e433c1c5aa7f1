"""Where pixels move: optical flow, warping, scene cuts and flicker."""
