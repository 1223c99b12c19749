"""Registered models: served by MLflow, fetched for the command line."""
