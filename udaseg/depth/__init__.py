"""Depth of the source: mixtures over place and inverse depth for every class, and their density."""
