"""Training of the base models: a DVC project of its own, each stage `python -m tasks.base NAME`."""
