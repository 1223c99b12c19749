"""Stages of the pipeline: each module is one stage of dvc.yaml, run as `python -m tasks.NAME`."""
