"""Third-party weights: pinned downloads and their conversion to safetensors."""
