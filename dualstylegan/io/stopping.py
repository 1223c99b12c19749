"""Stop of a program by Ctrl-C, SIGTERM or a closed terminal: within seconds, in one line.

The first signal raises `Stopped` in the main thread, so that everything is put away as the stack
unwinds. If the program still lives after GRACE_SECONDS, because the main thread computes in a
library or waits for another one, a watching thread puts away what is registered and ends it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

GRACE_SECONDS = 4.0
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
SHELL_OFFSET = 128  # shells report a signal as 128 and its number
INTERRUPTED = SHELL_OFFSET + signal.SIGINT
GOES_ON = "run it again, and it goes on where it was"


class Stopped(SystemExit):
    """Signal that ends the program; its code is that by which shells report the signal."""


class _State:
    """State of the program: line to print, signal received, and actions for a hard end."""

    line: bytes = b""
    received: int | None = None
    unwinding: bool = False
    actions: dict[object, Callable[[], None]] = {}  # noqa: RUF012
    wires: tuple[socket.socket, socket.socket] | None = None


def started_module() -> str:
    """Return the module that `python -m` starts, while its package is imported; else nothing."""
    if sys.argv[:1] != ["-m"] or "-m" not in sys.orig_argv[:-1]:
        return ""
    return sys.orig_argv[sys.orig_argv.index("-m") + 1]


def stopping() -> bool:
    """Return True once a signal has asked the program to stop."""
    return _State.received is not None


def end_on_signals(line: str) -> None:
    """End this program on a signal with one line on stderr and the code 128 and its number.

    A signal that is ignored, as under `nohup`, stays ignored. Called again, it changes the line.

    Args:
        line: text to print; nothing is printed if it is empty.
    """
    _State.line = line.encode() + b"\n" if line else b""
    if _State.wires is not None or threading.current_thread() is not threading.main_thread():
        return
    heard, spoken = _State.wires = socket.socketpair()
    spoken.setblocking(False)
    obeyed = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in obeyed:
        signal.signal(number, _stop)
    # written to by the interpreter's C part, also while the main thread computes in a library
    signal.set_wakeup_fd(spoken.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard, obeyed), name="stop", daemon=True).start()


def _receive(number: int) -> None:
    """Note the first signal and print the line.

    Not through sys.stderr, which may be in the middle of a line itself.
    """
    if _State.received is not None:
        return
    _State.received = number
    if _State.line:
        with suppress(OSError):
            os.write(2, (b"\n" if os.isatty(2) else b"") + _State.line)


def _stop(number: int, frame: FrameType | None) -> None:
    """Unwind the main thread on the first signal; later ones change nothing."""
    _receive(number)
    if not _State.unwinding:
        _State.unwinding = True
        raise Stopped(SHELL_OFFSET + number)


def _watch(heard: socket.socket, obeyed: list[int]) -> None:
    """Wait for a signal, and end the program if it has not ended by itself after a while."""
    while (number := heard.recv(1)[0]) not in obeyed:
        pass
    time.sleep(GRACE_SECONDS)
    _receive(number)
    for action in list(_State.actions.values()):
        with suppress(Exception):
            action()
    os._exit(SHELL_OFFSET + number)


@contextmanager
def put_away(action: Callable[[], None]) -> Iterator[None]:
    """Register an action that a program which must be ended without unwinding does before."""
    key = object()
    _State.actions[key] = action
    try:
        yield
    finally:
        _State.actions.pop(key, None)
