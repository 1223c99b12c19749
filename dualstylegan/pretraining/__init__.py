"""Training of the embedded base models: RGB heads, encoder into Z+, and structure transfer."""
