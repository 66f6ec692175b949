"""Libraries that run without Python: data layout and functions in C."""
