"""Prefect flows: the whole pipeline, watched."""
