"""Annotations of labelling tools, turned into folder datasets."""
