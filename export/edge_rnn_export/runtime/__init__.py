"""ONNX Runtime: sessions, streams, and untrusted graphs within limits."""
