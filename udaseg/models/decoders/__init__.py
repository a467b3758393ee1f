"""The decoders, one file each: networks that turn the maps of any encoder into class logits."""
