"""Picture files to tensors and back: formats, colors, masks and films."""
