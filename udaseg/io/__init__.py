"""Files: written in one piece, read with a clear error, locked against a second process."""
