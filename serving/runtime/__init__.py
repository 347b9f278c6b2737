"""ONNX graphs, run within the limits of this machine."""
