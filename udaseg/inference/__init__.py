"""Run trained networks: predictions, labels, confidences and evaluation."""
