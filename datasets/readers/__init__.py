"""Readers of files that may be damaged or hostile: images, archives, tables."""
