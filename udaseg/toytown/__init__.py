"""Toytown: a procedural renderer of street scenes that writes the layouts and encodings of the real datasets."""
