"""The datasets, one file each: where images and labels are stored, and the meaning of the ids."""
