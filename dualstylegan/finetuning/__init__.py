"""Progressive fine-tuning (section 3.3): g to g', structure transfer, and style transfer."""
