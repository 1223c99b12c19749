"""Prefect flows over DVC's graph."""

import os

# Set before Prefect is imported: no telemetry, and time enough for a cold start of its server.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_RESULTS_DEFAULT_SERIALIZER", "json")
