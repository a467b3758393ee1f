"""The datasets, a file each: where their images and labels lie, and what the ids mean."""
