"""Export to files: write a graph, verify it against the model, then move it into place."""
