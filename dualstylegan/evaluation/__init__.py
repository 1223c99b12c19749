"""Measures of a portrait-style model, each with a bootstrap interval and a reference value."""
