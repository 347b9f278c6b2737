"""Torch to ONNX, and the proof that both agree."""
