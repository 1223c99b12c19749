"""Options of reading a photo and of restyling it, checked before torch is imported.

Legend of shape suffixes: L row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dualstylegan.errors import SettingsError
from dualstylegan.faces.backgrounds import BACKGROUNDS, Background
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults, check_options

if TYPE_CHECKING:
    from dualstylegan.portrait.networks import PortraitNetworks

# Faces of a photo to read: the largest, all, or at most so many of the largest.
Faces = Literal["largest", "all"] | int
MAX_DIGITS = 10


def face_count(faces: Faces) -> int | None:
    """Return the number of faces to read at most; None: all.

    Raises:
        SettingsError: neither "largest", "all" nor a number above 0.
    """
    if faces == "all":
        return None
    if faces == "largest":
        return 1
    if isinstance(faces, int) and faces > 0:
        return faces
    raise SettingsError(
        "faces",
        value=faces,
        limit="largest, all, or a number of 1 or more",
        fix="give one of these",
    )


def parse_faces(text: str) -> Faces:
    """Return the faces that a text asks for: `largest`, `all`, or a number.

    Raises:
        SettingsError: none of these.
    """
    # an integer of thousands of digits Python refuses to read
    faces: Any = int(text) if text.isdecimal() and len(text) < MAX_DIGITS else text
    face_count(faces)
    return cast("Faces", faces)


@dataclass(frozen=True)
class ReadOptions:
    """Options of the reading of a photo.

    Attributes:
        faces: "largest", "all", or a number: at most so many of the largest.
        align: find the faces and crop them as FFHQ does; False takes the centre square.
        fit_steps: optimisation steps that fit each face's code; 0: the encoder alone; None: the
            model's default.
    """

    faces: Faces = "largest"
    align: bool = True
    fit_steps: int | None = None

    def check(self) -> None:
        """Refuse options that are out of their bounds or contradict each other.

        Raises:
            SettingsError: names the option.
        """
        check_options(fit_steps=self.fit_steps)
        face_count(self.faces)
        if self.faces != "largest" and not self.align:
            raise SettingsError("several faces need the alignment", fix="leave `align` on")

    def check_shown(self, paste: bool) -> None:
        """Refuse what cannot be shown, with the faces put back into their photo or without.

        Raises:
            SettingsError: says why.
        """
        self.check()
        if paste and not self.align:
            raise SettingsError("pasting back needs the alignment", fix="leave `align` on")
        if not paste and self.faces != "largest":
            raise SettingsError("several faces are shown in their photo", fix="turn `paste` on")


@dataclass(frozen=True)
class RestyleOptions:
    """Options of a restyling; None takes the model's default.

    Attributes:
        structure: weight of the structure rows: 0 keeps the face's shapes, 1 takes the exemplar's.
        color: weight of the colour rows: 0 keeps the face's colours, 1 takes the exemplar's.
        weights: the weight vector w, one weight per row, in place of `structure` and `color`.
        preserve_color: feed the face's own codes to the colour path in place of the exemplar's:
            the style's rendering in the photo's palette.
        truncation: psi for the face's code; below 1 it moves towards the mean face.
        size: side of a face's result in pixels, 64 to 1024.
        background: of a photo into which faces are put back: "keep", or "style", see `paste_back`.
    """

    structure: float | None = None
    color: float | None = None
    weights: Sequence[float] | None = None
    preserve_color: bool = False
    truncation: float | None = None
    size: int = 256
    background: Background = "keep"

    def check(self, config: PortraitConfig) -> None:
        """Refuse options that are out of their bounds, or that a model cannot serve.

        Raises:
            SettingsError: names the option, its value and the limit.
        """
        check_options(
            structure=self.structure, color=self.color, truncation=self.truncation, size=self.size
        )
        if self.background not in BACKGROUNDS:
            raise SettingsError(
                "background",
                value=self.background,
                limit=" or ".join(BACKGROUNDS),
                fix="give one of these",
            )
        if self.weights is None:
            return
        if self.structure is not None or self.color is not None:
            raise SettingsError(
                "weights per row exclude structure and color", fix="give the one or the other"
            )
        rows = config.network.generator.rows
        if len(self.weights) != rows:
            raise SettingsError(
                "the weight vector needs one weight per row",
                value=len(self.weights),
                limit=rows,
                fix="give one weight per row",
            )
        outside = [weight for weight in self.weights if not 0 <= weight <= 1]
        if outside:
            raise SettingsError(
                "weights are out of bounds",
                value=outside[0],
                limit="0 to 1",
                fix="give weights in between",
            )

    def row_weights(
        self, networks: PortraitNetworks, defaults: TransferDefaults
    ) -> tuple[float, ...]:
        """Return the weight vector w of a model's networks, one weight per row."""
        if self.weights is not None:
            return tuple(self.weights)
        structure = defaults.structure if self.structure is None else self.structure
        color = defaults.color if self.color is None else self.color
        rows = networks.structure_rows
        return (structure,) * rows + (color,) * (networks.rows - rows)

    def psi(self, defaults: TransferDefaults) -> float:
        """Return the truncation of the face's code."""
        return defaults.truncation if self.truncation is None else self.truncation

    def facts(self, defaults: TransferDefaults) -> dict[str, str | None]:
        """Return the options as text, by name; None where they do not apply."""
        pair = {"structure": self.structure, "color": self.color}
        if self.weights is not None:
            facts: dict[str, str | None] = {"weights": ",".join(f"{w:g}" for w in self.weights)}
        else:
            stated = defaults.model_dump()
            facts = {k: f"{stated[k] if v is None else v:g}" for k, v in pair.items()}
        facts["truncation"] = f"{self.psi(defaults):g}"
        facts["preserve_color"] = "true" if self.preserve_color else None
        facts["size"] = str(self.size)
        return facts
