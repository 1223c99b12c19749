"""Stages of the pipeline: each module is one stage of dvc.yaml, run as `python -m tasks.NAME`."""

import os

# Before torch is imported: threads that wait must not spin. Where anything else runs on the
# machine, a spinning pool stalls whenever the system holds one of its threads back: beside another
# process a training step took 2.7 s with this setting and 20 s without.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
