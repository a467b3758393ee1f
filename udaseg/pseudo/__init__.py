"""Pseudo-labels: chosen by confidence, then refined."""
