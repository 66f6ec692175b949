"""Reader of PyTorch modules and state_dicts."""
