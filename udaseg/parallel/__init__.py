"""Work in parallel: threads in one process, and several processes of torchrun."""
