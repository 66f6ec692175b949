"""Writer of ONNX graphs: nodes, layers, heads, metadata."""
