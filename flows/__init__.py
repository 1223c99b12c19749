"""Prefect flows over DVC's graph."""

import os

from dualstylegan.io.stopping import GOES_ON, end_on_signals, started_module

# Set before Prefect is imported: no telemetry, and time enough for a cold start of its server.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_RESULTS_DEFAULT_SERIALIZER", "json")

# Before Prefect is imported, which takes seconds. The supervisor tells that the flow stops.
if (_MODULE := started_module()).split(".")[0] == __name__:
    end_on_signals("" if _MODULE == "flows.supervised" else f"portrait: stopped; {GOES_ON}")
