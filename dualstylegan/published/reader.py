"""Safe reading of published files, which are untrusted pickles.

A separate process with limits on memory, time and output parses the file as data (see `pickles`,
`archives` and `child`): nothing that the file names is looked up or called, there is no fallback,
and output goes to a temporary folder that is removed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import CheckpointError, OutputError
from dualstylegan.io.files import scratch_folder, sha256_file
from dualstylegan.io.processes import KILL, guarded
from dualstylegan.published.pickles import Namespace

if TYPE_CHECKING:
    from torch import Tensor

MAX_FILE_BYTES = 4 << 30
# Memory of the reader process beside the file itself, which it maps.
MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60
HEADER_BYTES = 256 << 20
REFUSED_EXIT, FORBIDDEN_EXIT, UNWRITTEN_EXIT = 3, 4, 5
LIMITS = f"{MEMORY_BYTES >> 20} MiB and {CPU_SECONDS} seconds"
FIX = "download the file again from its publisher; a file that names code is not imported"

_RUN = "import sys; sys.path.insert(0, {root!r}); from dualstylegan.published.child import main; "
_ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class PublishedFile:
    """Content of a published file, as data.

    Attributes:
        path: the file that was read.
        sha256: digest of its bytes.
        tree: nested dict, list and tuple of plain values; tensors as `torch.Tensor`; an
            argparse.Namespace as `pickles.Namespace`.
    """

    path: Path
    sha256: str
    tree: Any


def read_published(path: Path | str, *, max_bytes: int = MAX_FILE_BYTES) -> PublishedFile:
    """Read one published file: torch's zip or older format, or a numpy dictionary of codes.

    Args:
        path: a .pt, .pth or .npy file.
        max_bytes: size above which a file is refused unread.

    Raises:
        CheckpointError: the file is missing, too large or damaged, or holds anything but data; the
            message says what was refused.
        OutputError: the content does not fit among the system's temporary files.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", file=path, fix="check the path")
    size = path.stat().st_size
    if not 0 < size <= max_bytes:
        raise CheckpointError(
            "not the size of a checkpoint", file=path, value=f"{size} bytes",
            limit=f"1 to {max_bytes} bytes", fix=FIX,
        )  # fmt: skip
    with scratch_folder() as folder:
        _run_child(path, folder, size)
        return PublishedFile(path, sha256_file(path), _load(folder, path))


def _run_child(path: Path, folder: Path, size: int) -> None:
    """Start the reader process and wait for it."""
    if find_spec("resource") is None:
        raise CheckpointError(
            "checkpoints cannot be read safely on this system, which limits no process", file=path,
            limit="Linux or macOS", fix="import it there, and copy the model folder",
        )  # fmt: skip
    limits = {
        "memory_bytes": MEMORY_BYTES + size,
        "cpu_seconds": CPU_SECONDS,
        "output_bytes": size + HEADER_BYTES,
    }
    command = [
        sys.executable, "-I", "-B", "-c",
        _RUN.format(root=_ROOT) + "sys.exit(main(sys.argv[1:]))",
        str(path.resolve()), str(folder), json.dumps(limits),
    ]  # fmt: skip
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            guarded(command, KILL), env=environment, cwd=folder,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * CPU_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckpointError("reading took too long", file=path, fix=FIX) from error
    if done.returncode == 0:
        return
    told = done.stdout.decode("ascii", "replace").strip()
    if done.returncode == UNWRITTEN_EXIT:
        raise OutputError(
            "no place for its content", file=path, value=f"{folder.parent}: {told}",
            fix="free some space there, or set TMPDIR to another folder",
        )  # fmt: skip
    reason = told if done.returncode == REFUSED_EXIT else _end_of(done.returncode)
    raise CheckpointError(
        "refused", file=path, value=reason, limit=f"weights as data, read in {LIMITS}", fix=FIX
    )


def _end_of(code: int) -> str:
    """Return what the end of a reader process that gave no reason says of its file."""
    if code == FORBIDDEN_EXIT:
        return "it leads its reader to what it may not do"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it takes too long or too much memory (signal {-code})"
    return f"it ends its reader (code {code})"


def _load(folder: Path, path: Path) -> Any:
    """Load the tree and its tensors from the output of the reader process."""
    from safetensors import SafetensorError, safe_open

    try:
        encoded = json.loads((folder / "tree.json").read_bytes())
        with safe_open(folder / "tensors.safetensors", framework="pt") as tensors:
            return _decode(encoded, lambda number: tensors.get_tensor(str(number)).clone())
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            "the reader process wrote no complete result",
            file=path,
            value=error,
            fix="free some memory and space among the temporary files, then try again",
        ) from error


def _decode(value: Any, tensor: Callable[[int], Tensor]) -> Any:
    """Undo `child.Encoder.encode`."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "$tensor":
        return tensor(int(content))
    if kind == "$float":
        return float(content)
    if kind in ("$dict", "$namespace"):
        pairs = {key: _decode(item, tensor) for key, item in content}
        return pairs if kind == "$dict" else Namespace(pairs)
    items = [_decode(item, tensor) for item in content]
    return items if kind == "$list" else tuple(items)
