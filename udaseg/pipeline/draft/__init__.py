"""Draft a recipe for two directories: classes, sizes, network, steps, each with its reason."""
