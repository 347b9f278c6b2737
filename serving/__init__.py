"""How a model answers: one ONNX file, one tokenizer file, numpy."""
