"""Scores of a network that need no label of the target: functions on arrays, and the passes that feed them."""
