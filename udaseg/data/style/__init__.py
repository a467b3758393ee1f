"""The style of the target for source images (FDA)."""
