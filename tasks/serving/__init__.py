"""Registered models: served by MLflow, and fetched for the command line."""
