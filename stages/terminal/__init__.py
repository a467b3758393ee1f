"""The terminal: Typer and Rich, and nothing else that touches them."""
