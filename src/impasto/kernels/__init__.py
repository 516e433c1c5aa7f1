"""The compiled computations of a step on a CPU: convolutions, pooling, products and sums."""
