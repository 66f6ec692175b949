"""Matrices in compiled code: packed panels of weights and the loops that multiply with them."""
