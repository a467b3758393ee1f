"""Training: one loop, and what each training stage brings to it."""
