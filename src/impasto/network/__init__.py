"""The VGG encoder: its weights, its layers, and fast convolutions."""
