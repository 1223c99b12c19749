"""The base models' own pipeline, data/base/dvc.yaml: each stage is `python -m tasks.base NAME`."""
