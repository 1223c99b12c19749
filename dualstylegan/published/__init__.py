"""The published checkpoint formats: read without trusting them, imported, and written back."""
