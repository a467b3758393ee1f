"""The encoders that networks are built on."""
