"""The command `dualstylegan` as `python -m dualstylegan`."""

from __future__ import annotations

from dualstylegan.io.stopping import end_on_signals

if __name__ == "__main__":
    # First of all, as `dualstylegan.cli` does: Ctrl-C is one line while the rest is imported.
    end_on_signals("stopped")
    from dualstylegan.cli import main

    main()
