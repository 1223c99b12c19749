"""Errors that a person can act on: each names the file, the value, the limit and the fix."""

from __future__ import annotations

import unicodedata
from pathlib import Path

TORCH_FIX = "pip install 'dualstylegan[torch]'"
# Zero-width joiners shape letters and emoji; every other format character can hide or reorder text.
JOINERS = frozenset("\u200c\u200d")
# Control, format and surrogate characters, and separators of lines and paragraphs.
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def one_line(text: str) -> str:
    """Return a text as one line that a terminal only shows: other characters as escapes.

    A name of a file may hold anything but a slash: bytes that are no text, ends of lines, and what
    steers a terminal or reorders the letters around it.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")


class DualStyleGANError(ValueError):
    """Base of every error raised for bad input.

    Args:
        problem: what is wrong, in one clause.
        file: the offending file or folder, if any.
        value: what was found.
        limit: what would have been accepted.
        fix: what the person can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        value: object = None,
        limit: object = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.value = value
        self.limit = limit
        self.fix = fix
        facts = (("found", value), ("limit", limit), ("fix", fix))
        head = problem if file is None else f"{file}: {problem}"
        sentence = "; ".join([head, *(f"{k}: {v}" for k, v in facts if v is not None)])
        super().__init__(one_line(sentence))

    def name_instead(self, path: str, other: str) -> None:
        """Name the path `other` in place of `path`, by which the file was read."""
        self.file = None if self.file is None else self.file.replace(path, other)
        self.args = (str(self).replace(one_line(path), one_line(other)),)


class SettingsError(DualStyleGANError):
    """A setting is unknown or out of its bounds."""


class DataError(DualStyleGANError):
    """A folder, table or set of images cannot be used as asked."""


class ImageError(DataError):
    """A file is not an image that can be read safely."""


class OutputError(DualStyleGANError):
    """A result cannot be written: no permission, no space, or no such folder."""


class InUseError(OutputError):
    """Another process is writing the same stage's or folder's output."""


class FaceError(DataError):
    """No usable face was found in an image."""


class DownloadError(DualStyleGANError):
    """A pinned file could not be fetched, or is not the one that was pinned."""


class CheckpointError(DualStyleGANError):
    """A checkpoint is missing, truncated, or does not fit the network."""


class HubError(CheckpointError):
    """A hub of models cannot give or take a model: no such repository, no network, no right."""


class WeightsError(CheckpointError):
    """Pretrained weights are missing or are not those expected."""


class TrainingError(DualStyleGANError):
    """Training cannot go on; the last good state has been saved."""


class RankLostError(TrainingError):
    """Another process of a training on several devices has ended."""


class ClusterError(DualStyleGANError):
    """A cluster does not answer, has no workers, or does not share the project."""


class RequestError(DualStyleGANError):
    """A request to the studio that it cannot serve.

    Attributes:
        status: of the answer in HTTP.
    """

    status = 400


class UnknownItemError(RequestError):
    """A sitter, a style or an address that the studio does not hold."""

    status = 404


class SupersededError(RequestError):
    """A newer request of the same view came before this one was begun."""

    status = 409


class UploadError(RequestError):
    """An upload larger than the studio takes."""

    status = 413


class ForeignError(RequestError):
    """A request that another site, or another name of this machine, has sent."""

    status = 403


class BusyError(RequestError):
    """More work or more visitors than the studio takes at a time."""

    status = 503


class ClosingError(BusyError):
    """A request that the studio, which is being ended, does not serve any more."""

    def __init__(self) -> None:
        super().__init__("the studio is closing", fix="open it again")


# Photo from which a person's code is fitted better.
BETTER_PHOTO = "a sharper, more frontal, evenly lit photo"


class LikenessWarning(UserWarning):
    """Warning that the face fitted to a photo does not look enough like the person.

    Args:
        likeness: identity similarity of the fitted face to the photo.
        line: least similarity at which the fit counts as the same person.
        steps: optimisation steps that the fit took.
    """

    def __init__(self, likeness: float, line: float, steps: int) -> None:
        self.likeness = likeness
        self.line = line
        self.steps = steps
        super().__init__(
            "the face fitted to the photo may not be recognised as the same person; "
            f"likeness: {likeness:.3f}; limit: {line:g}; fix: give {BETTER_PHOTO}, or more fit "
            f"steps ({steps} were taken)"
        )

    def __reduce__(self) -> tuple[type[LikenessWarning], tuple[float, float, int]]:
        """Return the parts for pickle, which would give the message alone to the constructor."""
        return type(self), (self.likeness, self.line, self.steps)
