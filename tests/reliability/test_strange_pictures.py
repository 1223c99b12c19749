"""Pictures of strangers: read or refused in a sentence, in bounded time and memory."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.io.images import decode_image
from dualstylegan.io.picture_bounds import MAX_SLOW_PIXELS
from tests.reliability.attack_pictures import mutated, outcome
from tests.reliability.lying_pictures import lying, plain_tiff, scans
from tests.reliability.strange_pictures import saved

SIDE = 2000


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dict(lying())


def test_headers_that_lie_are_refused_in_a_sentence(files: dict[str, bytes]) -> None:
    start = time.process_time()
    outcomes = {name: outcome(lambda data=data: decode_image(data)) for name, data in files.items()}  # type: ignore[misc]
    assert len(files) > 400
    assert set(outcomes.values()) == {"a picture", "refused"}, outcomes
    assert time.process_time() - start < 10


def test_mutations_are_refused_in_a_sentence(files: dict[str, bytes]) -> None:
    small = [data for data in files.values() if len(data) < 4096]
    for number in range(500):
        data = mutated(small, 0, number)
        assert outcome(lambda data=data: decode_image(data)) in ("a picture", "refused")  # type: ignore[misc]


def _progressive(count: int) -> bytes:
    """Return a large progressive JPEG of so many scans more than it needs."""
    small = scans(24, count)
    frame = small.index(b"\xff\xc2")
    side = (8000).to_bytes(2, "big")
    return small[: frame + 5] + side + side + small[frame + 9 :]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(_progressive(500), "too many scans; found: 506; limit: 62", id="scans"),
        pytest.param(
            plain_tiff(
                more=[(322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 512), (325, 4, 1, 9)],
                compression=8,
                without=(273, 278, 279),
            ),
            "the tiles of the image are too large; found: 40000 x 40000",
            id="tiles",
        ),
        pytest.param(
            b"P6\n%d %d\n65535\n" % (SIDE, SIDE) + bytes(SIDE * SIDE * 6),
            f"slow to read; found: 2000 x 2000, 24000019 bytes; limit: {MAX_SLOW_PIXELS // 10**6}",
            id="deep netpbm",
        ),
        pytest.param(
            b"P3\n%d %d\n255\n" % (SIDE, SIDE) + b"1 " * (SIDE * SIDE * 3),
            "slow to read",
            id="netpbm as text",
        ),
        pytest.param(
            saved(Image.new("L", (7000, 7000)), "WEBP", lossless=True, method=0, quality=0),
            "found: 7000 x 7000; limit: 41 megapixels as WEBP",
            id="large WebP",
        ),
    ],
)
def test_a_picture_that_costs_more_than_its_pixels_is_refused_at_once(
    data: bytes, words: str
) -> None:
    start = time.process_time()
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    assert words in str(caught.value)
    assert time.process_time() - start < 2


def test_a_slow_kind_of_file_is_read_while_it_is_small() -> None:
    data = b"P6\n30 20\n65535\n" + bytes(30 * 20 * 6)
    assert decode_image(data).size == (30, 20)
    assert decode_image(io.BytesIO(scans(24, 30)).getvalue()).size == (24, 24)
