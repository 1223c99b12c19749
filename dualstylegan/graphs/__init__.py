"""Networks as ONNX graphs: their export, and what says which graph takes and returns what."""
