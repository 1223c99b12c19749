"""Process of the flow, which `python -m flows.portrait` starts and supervises."""

from __future__ import annotations

from dualstylegan.io.stopping import put_away
from flows.arguments import parse
from flows.portrait import main
from flows.supervision import kill_descendants

if __name__ == "__main__":
    with put_away(kill_descendants):
        main(parse())
