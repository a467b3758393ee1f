"""Statistics of a dataset that are stored: class counts, spatial priors, Gaussian mixtures, prototypes."""
