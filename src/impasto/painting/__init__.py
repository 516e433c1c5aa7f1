"""A photo and paintings in, a pastiche out."""
