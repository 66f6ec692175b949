"""PyTorch modules that compute what edge_rnn's layers do, for training; ``torch_module`` alone does without torch."""
