"""Export to files: a graph is written, verified against the model, then put in place."""
