"""Textures, reconstructions and dreams."""
