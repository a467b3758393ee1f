"""Policies that choose pseudo-labels, a file each."""
