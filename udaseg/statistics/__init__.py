"""What is counted over a dataset and stored: class counts, priors, mixtures, prototypes."""
