"""Images, labels and depth maps: read and written."""
