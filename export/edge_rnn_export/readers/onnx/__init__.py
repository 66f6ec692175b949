"""Reader of ONNX graphs, which are traced back to layers."""
