"""Attack on the studio's memory by photos as large as it takes, sent at once."""

from __future__ import annotations

import http.client
import io
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tests.reliability.attack_serving import pinned_weights
from tests.reliability.serving_doors import Door, studio_door
from tests.reliability.studio_shots import portrait

SIDE = 8000
# So that a photo is a file of about 66 MB.
NOISE_LEVELS = 24
AT_ONCE = 3
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 400
WARM_SECONDS, SETTLED_SECONDS = 8.0, 3.0


def large_photo(weights: Path, seed: int) -> bytes:
    """Return a TIFF of floats, of 64 megapixels, that shows a face."""
    with Image.open(weights / "astronaut.png") as image:
        face = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    rng, file = np.random.default_rng(seed), io.BytesIO()
    levels_HW = np.asarray(face).astype(np.float32)
    for row_W in levels_HW:
        row_W += rng.integers(-NOISE_LEVELS // 2, NOISE_LEVELS // 2, SIDE)
        row_W.clip(0, 255, row_W)
    Image.fromarray(levels_HW).save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


@dataclass
class Watch:
    """Largest memory of a server while something is done, in MiB."""

    door: Door
    peak: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look at the memory until the end."""
        family = self.door.run.family()
        while not self.ended.wait(LOOK_SECONDS):
            rss = sum(process.memory_info().rss for process in family)
            self.peak = max(self.peak, rss / 2**20)


def send(door: Door, photo: bytes, statuses: list[int]) -> None:
    """Upload a photo and note the status of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE_SECONDS)
    connection.request("POST", "/api/sitters", photo, {"Content-Type": "image/tiff"})
    statuses.append(connection.getresponse().status)
    connection.close()


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Send large photos to a studio at once, as often as there are rounds, and watch its memory."""
    weights = pinned_weights()
    photo = large_photo(weights, rng.randrange(1 << 30))
    with studio_door(folder, weights, root) as door:
        send(door, portrait(weights), [])  # what every first photo loads counts as idle
        time.sleep(WARM_SECONDS)
        idle = door.memory()
        yield f"{len(photo) / 1e6:.0f} MB a photo, {AT_ONCE} at once; idle {idle:.0f} MiB"
        for _ in range(rounds):
            watch, statuses = Watch(door), list[int]()
            looking = threading.Thread(target=watch.look)
            looking.start()
            threads = [
                threading.Thread(target=send, args=(door, photo, statuses)) for _ in range(AT_ONCE)
            ]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - start
            time.sleep(SETTLED_SECONDS)
            watch.ended.set()
            looking.join()
            yield (
                f"peak {watch.peak:.0f} MiB, {watch.peak - idle:.0f} beyond idle; afterwards "
                f"{door.memory():.0f}; statuses {sorted(statuses)} in {seconds:.0f} s"
            )
