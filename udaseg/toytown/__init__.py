"""The embedded world: a procedural street renderer that writes the layouts and encodings of the real datasets."""
