"""Use trained networks: predictions, labels and confidences, scores."""
