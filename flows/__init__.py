"""Prefect flows: the whole pipeline, watched."""

import os

# Before Prefect is imported: nothing is sent anywhere, and a cold start may take its time.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_RESULTS_DEFAULT_SERIALIZER", "json")
