"""Stages of the pipeline: each module is one stage of dvc.yaml, run as `python -m tasks.NAME`."""

import os
import signal

from dualstylegan.io.processes import die_with_parent, starting_process, when_ended
from dualstylegan.io.stopping import GOES_ON, end_on_signals, started_module
from dualstylegan.networks import ranks

# Before torch is imported: threads that wait must not spin. Where anything else runs on the
# machine, a spinning pool stalls whenever the system holds one of its threads back: beside another
# process a training step took 2.7 s with this setting and 20 s without.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Before a stage imports torch, which takes seconds: Ctrl-C is one line from here on.
if (_MODULE := started_module()).split(".")[0] == __name__:
    # of several ranks, what has started them says it
    end_on_signals("" if ranks.launched() else f"{_MODULE.split('.')[-1]}: stopped; {GOES_ON}")
    if "DVC_STAGE" in os.environ or ranks.launched():
        # a stage does not go on without the `dvc repro` that waits for it, nor a rank without that
        die_with_parent(signal.SIGTERM)
        when_ended(starting_process(), lambda: signal.raise_signal(signal.SIGTERM))
