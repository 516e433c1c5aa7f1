"""VGG as a describer of pictures: weights, layers and fast convolutions."""
