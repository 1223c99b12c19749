"""Files, images and checkpoints: read safely, written atomically."""
