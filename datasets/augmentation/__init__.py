"""Transforms of one image, and mixings of two."""
