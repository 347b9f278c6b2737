"""ONNX Runtime, imported here and nowhere else: it reports to its maker unless it is told not to before that."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Not above: it looks at the variable while it is imported.
import onnxruntime as ort

__all__ = ["ort"]
