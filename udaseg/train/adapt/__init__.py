"""Online adaptation: a finished network adapts to a stream of images while it labels them."""
