"""Stages: what they read, whether they are up to date, how their directories are written."""
