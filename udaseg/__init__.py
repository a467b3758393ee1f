"""Adapt a segmentation network from labelled synthetic streets to unlabelled real ones."""

__version__ = "0.1.0"
