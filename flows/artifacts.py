"""Artifacts of Prefect of which the last one is kept: progress, pictures, tables."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    ProgressArtifact,
    create_markdown_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact

IMAGE_PX = 512
# Such as `invert: 164/504 steps (5:41, 11:47 left)`.
PROGRESS = re.compile(r"^\S+: (\d+)/(\d+) \w+ \(.*\)")
UPDATE_SECONDS = 2.0


def key_of(*parts: str) -> str:
    """Return an artifact's key: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def replace(key: str, artifact: object) -> None:
    """Remove all artifacts of a key but a new one, so that they do not pile up.

    Args:
        key: of the artifacts.
        artifact: identifier of the new one.
    """
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        for old in client.read_artifacts(artifact_filter=wanted):
            if old.id != artifact:
                client.delete_artifact(old.id)


def show_picture(key: str, title: str, path: Path) -> None:
    """Publish an image, in the place of the last one of its key."""
    text = f"### {path.name}\n\n![{title}]({data_url(path)})"
    made = create_markdown_artifact(text, key=key, description=f"newest image of {title}")
    replace(key, made)


def show_table(key: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """Publish a table, in the place of the last one of its key."""
    replace(key, create_table_artifact(list(rows), key=key, description=description))


class StageProgress:
    """Progress artifact of a stage, made when the stage first tells of progress.

    Args:
        name: of the step.
    """

    def __init__(self, name: str) -> None:
        self.name, self.shown_at = name, 0.0
        self.artifact: UUID | None = None

    def __call__(self, line: str) -> None:
        """Take a line of the stage's output."""
        found = PROGRESS.match(line)
        if found is None:
            return
        done, total = map(int, found.groups())
        if done < total and time.monotonic() - self.shown_at < UPDATE_SECONDS:
            return
        self.shown_at = time.monotonic()
        self.show(100.0 * done / max(total, 1), line)

    def show(self, percent: float, line: str) -> None:
        """Show a share of the work and its description."""
        if self.artifact is None:
            key = key_of("progress", self.name)
            made = ProgressArtifact(progress=percent, key=key, description=line)
            self.artifact = cast(Artifact, made.create()).id
            replace(key, self.artifact)
        else:
            update_progress_artifact(self.artifact, percent, description=line)


def newest_image(outs: Sequence[Path]) -> Path | None:
    """Return the newest PNG file among outputs, the last by name of equally new ones."""
    images = [path for out in outs if out.is_dir() for path in out.rglob("*.png")]
    return max(images, key=lambda path: (path.stat().st_mtime, str(path)), default=None)


def data_url(path: Path) -> str:
    """Return an image as a data: URL, reduced to a size fit for a page."""
    from dualstylegan.io.images import read_image

    image = read_image(path)
    image.thumbnail((IMAGE_PX, IMAGE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
