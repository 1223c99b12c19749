"""Attack by pictures: hostile files, and mutations of them, are read or refused in a sentence.

Each mutation follows from the seed and its number alone, so that a fault can be made again:
`python -m tests.reliability.attack_pictures SEED NUMBER FILE` writes it. Reading is done in child
processes, which a file that takes too long, or crashes a decoder, ends.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import random
import resource
import signal
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dualstylegan.errors import ImageError
from dualstylegan.io.images import decode_image, read_image
from tests.reliability.lying_pictures import PNG_MAGIC
from tests.reliability.strange_pictures import corpus

MUTATIONS_PER_ROUND = 10_000
BATCH = 2000
# CPU-seconds of one file: more counts as a hang.
SECONDS = 20
MUTATED_BYTES = 8192
MAX_SENTENCE = 1000
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(files: Sequence[bytes], seed: int, number: int) -> bytes:
    """Return the mutation of a number: one to six changes of one of the files."""
    rng = random.Random(f"{seed} {number}")
    data = bytearray(rng.choice(files))
    for _ in range(rng.randint(1, 6)):
        _change(data, files, rng)
    return _with_checksums(bytes(data)) if rng.random() < 0.8 else bytes(data)


def _change(data: bytearray, files: Sequence[bytes], rng: random.Random) -> None:
    """Change a file in one of the ways of damage."""
    # headers are at the beginning, and most of what decides
    reach = min(len(data), rng.choice((32, 128, 1024, len(data) or 1)))
    at = rng.randrange(reach) if reach else 0
    way = rng.randrange(8)
    if way == 0 and data:
        data[at] ^= 1 << rng.randrange(8)
    elif way == 1 and data:
        data[at] = rng.choice((0, 0xFF, rng.randrange(256)))
    elif way in (2, 3):
        width, order = rng.choice("BHI"), rng.choice("<>")
        packed = struct.pack(f"{order}I", rng.choice(INTERESTING))
        size = struct.calcsize(width)
        data[at : at + size] = packed[:size] if order == "<" else packed[-size:]
    elif way == 4:
        del data[at : at + rng.choice((1, 4, 64, len(data)))]
    elif way == 5:
        data[at:at] = data[at : at + rng.choice((1, 12, 300))] * rng.choice((1, 2, 20))
    elif way == 6:
        other = rng.choice(files)
        start = rng.randrange(len(other) or 1)
        data[at : at + rng.choice((0, 16))] = other[start : start + rng.choice((4, 40, 400))]
    else:
        data[at : at + 16] = rng.randbytes(16)


def _with_checksums(data: bytes) -> bytes:
    """Return a PNG file with checksums that agree, so that its chunks are looked at."""
    if not data.startswith(PNG_MAGIC):
        return data
    parts, at = [PNG_MAGIC], len(PNG_MAGIC)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        parts += [data[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join(parts) + data[at:]


def outcome(read: Callable[[], object]) -> str:
    """Return what became of a file: a picture, refused, or the fault."""
    try:
        read()
    except ImageError as error:
        sentence = str(error)
        fine = "\n" not in sentence and len(sentence) < MAX_SENTENCE
        return "refused" if fine else f"no sentence: {sentence[:200]!r}"
    except BaseException as error:
        return f"untyped: {error!r:.200}"
    return "a picture"


def read_all(
    readers: Callable[[int], Callable[[], object]], first: int, end: int, folder: Path
) -> tuple[Counter[str], int]:
    """Read files by number in child processes.

    Returns:
        Outcomes with their counts, and the largest peak of memory of a child in bytes.
    """
    counts: Counter[str] = Counter()
    peak = 0
    with mmap.mmap(-1, 8) as shared:
        while first < end:
            last = min(first + BATCH, end)
            report = folder / "report.json"
            report.unlink(missing_ok=True)
            child = os.fork()
            if child == 0:
                _read_batch(readers, first, last, shared, report)
            status = os.wait4(child, 0)
            peak = max(peak, status[2].ru_maxrss << 10)
            if report.is_file():
                counts.update(json.loads(report.read_text()))
                first = last
            else:  # the file at which it ended; those before it are read again without it
                (at,) = struct.unpack("<q", shared[:8])
                fault = "hang" if os.WTERMSIG(status[1]) == signal.SIGPROF else "crash"
                counts[f"{fault}: {at}"] += 1
                counts["read before a fault"] += at - first
                first = at + 1
    return counts, peak


def _read_batch(
    readers: Callable[[int], Callable[[], object]],
    first: int,
    end: int,
    shared: mmap.mmap,
    report: Path,
) -> None:
    """Read files in a child process, and end it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    counts: Counter[str] = Counter()
    before = 0
    for number in range(first, end):
        shared[:8] = struct.pack("<q", number)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        said = outcome(readers(number))
        counts[said if said in ("refused", "a picture") else f"{number}: {said}"] += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak > max(before, 1 << 30):
            counts[f"{number}: {peak >> 20} MiB"] += 1
            before = peak
    report.write_text(json.dumps(counts))
    os._exit(0)


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Read every hostile file, and mutations of the small ones; `root` is not used.

    Yields:
        A line for the files and one for the mutations, and one for each fault.
    """
    files = corpus()
    names = list(files)
    path = folder / "picture"

    def whole(number: int) -> Callable[[], object]:
        path.write_bytes(files[names[number]])
        return lambda: read_image(path)

    yield from _told("files", *read_all(whole, 0, len(names), folder))
    small = [data for data in files.values() if len(data) <= MUTATED_BYTES]
    seed = rng.randrange(1 << 30)

    def mutation(number: int) -> Callable[[], object]:
        return lambda: decode_image(mutated(small, seed, number))

    count = rounds * MUTATIONS_PER_ROUND
    yield from _told(f"mutations of seed {seed}", *read_all(mutation, 0, count, folder))


def _told(what: str, counts: Counter[str], peak: int) -> Iterator[str]:
    """Yield a line of counts, and one per fault."""
    plain = ("a picture", "refused", "read before a fault")
    faults = [name for name in counts if name not in plain]
    total = sum(counts.values())
    yield (
        f"{total} {what}: {counts['a picture']} pictures, {counts['refused']} refused, "
        f"{len(faults)} faults, peak {peak >> 20} MiB"
    )
    yield from faults


def main() -> None:
    """Write one mutation to a file."""
    seed, number, target = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    small = [data for data in corpus().values() if len(data) <= MUTATED_BYTES]
    target.write_bytes(mutated(small, seed, number))


if __name__ == "__main__":
    main()
