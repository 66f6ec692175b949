"""Quantization: calibration, rounding, and the search for the cheapest format of each matrix."""
