"""Training of the embedded base models; photographs and paintings made for it."""
