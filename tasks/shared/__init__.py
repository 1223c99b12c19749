"""Shared by the stages: settings, paths, runner, caching, training and tracking."""
