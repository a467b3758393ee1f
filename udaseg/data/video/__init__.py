"""Video: frames in order, optical flow between them, and warping along it."""
