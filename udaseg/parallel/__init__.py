"""Parallel work: threads within one process, and several processes started by torchrun."""
