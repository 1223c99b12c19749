"""Processes and files where operating systems differ: death of a parent, locks, exchanged names.

Linux has all of it. Elsewhere a function does what the system offers and says what it leaves out;
macOS and Windows have not been tried.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LINUX = sys.platform.startswith("linux")
POLL_SECONDS = 0.5
LONGEST_NAME = 255
# The signal that no process can refuse; Windows ends a process by any.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
SHELLS = frozenset(("ash", "bash", "dash", "fish", "ksh", "sh", "zsh"))
# From linux/prctl.h, linux/fs.h, fcntl.h and sys/stdio.h of macOS.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
AT_FDCWD, RENAME_EXCHANGE, RENAME_SWAP = -100, 2, 2
# Windows locks bytes for every reader: one far behind what a lock file holds.
LOCKED_BYTE = 1 << 30
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
_GUARD = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, int(sys.argv[1])); "
    "os.getppid() == int(sys.argv[2]) or sys.exit(1); os.execvp(sys.argv[3], sys.argv[3:])"
)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process, where the C library can."""
    if LINUX:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(option, value)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends; Linux alone."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Receive the signal `number` when the thread that started this process ends; Linux alone."""
    _prctl(PR_SET_PDEATHSIG, number)


def guarded(command: Sequence[str], number: int = signal.SIGTERM) -> list[str]:
    """Return a command whose process receives a signal when the thread that starts it ends.

    It outlives this process where the system is not Linux.
    """
    if not LINUX:
        return list(command)
    head = [sys.executable, "-I", "-S", "-c", _GUARD, str(int(number)), str(os.getpid())]
    return [*head, *command]


def is_alive(pid: int) -> bool:
    """Return True unless no process has this number; where that cannot be known, True."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _name_and_parent(pid: int) -> tuple[str, int]:
    """Return a process's name and its parent's number from /proc; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, int(rest.split()[1])


def starting_process() -> int:
    """Return the process that started this one: its parent, or that of the shell in between."""
    pid = os.getppid()
    name, parent = _name_and_parent(pid)
    while name in SHELLS and parent > 1:
        pid = parent
        name, parent = _name_and_parent(pid)
    return pid


def when_ended(pid: int, act: Callable[[], None]) -> None:
    """Call `act` in a thread once a process has ended; at once if it is gone."""

    def wait() -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):  # no Linux, an old one, or the process is gone
            while is_alive(pid):
                time.sleep(POLL_SECONDS)
        else:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            waiting.poll()
            os.close(descriptor)
        act()

    threading.Thread(target=wait, name="when-ended", daemon=True).start()


def try_lock(handle: IO[bytes] | int, shared: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed or the process ends.

    Args:
        handle: file object or descriptor; Windows locks files alone.
        shared: together with other shared locks; exclusive on Windows.

    Returns:
        True if locked, False if somebody else holds it, None where the file system has no locks.
    """
    descriptor = handle if isinstance(handle, int) else handle.fileno()
    try:
        if sys.platform == "win32":
            import msvcrt

            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:  # what is written next goes where it would have gone
                os.lseek(descriptor, position, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in NO_LOCKS else False
    return True


def open_folder(folder: Path) -> int | None:
    """Open a folder, which keeps its content's identity; None where the system opens none.

    Raises:
        OSError: it cannot be opened.
    """
    return None if os.name == "nt" else os.open(folder, os.O_RDONLY)


def longest_name(folder: Path) -> int:
    """Return the length in bytes that a name in a folder may have, where the system tells it."""
    pathconf = getattr(os, "pathconf", None)
    return LONGEST_NAME if pathconf is None else int(pathconf(folder, "PC_NAME_MAX"))


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders in one step.

    Returns:
        False where the system or the file system cannot: nothing has changed then.

    Raises:
        OSError: the exchange failed.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if LINUX:
            failed = library.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            failed = library.renamex_np(first, second, RENAME_SWAP)
        else:
            return False
    except (AttributeError, OSError, TypeError):
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(one))
