"""Vector values in kernels: arithmetic, loads and stores, activations, random numbers."""
