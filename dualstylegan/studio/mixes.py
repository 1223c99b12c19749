"""Mixes of styles as requests name them: the model's own and the visitors'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dualstylegan.errors import SettingsError
from dualstylegan.studio.visits import OwnStyle, Shelf


@dataclass(frozen=True)
class Mix:
    """Mix of styles.

    Attributes:
        shares: by a style's name, or the identifier of a visitor's style.
        own: the visitors' styles among them, by identifier.
    """

    shares: dict[str, float]
    own: dict[str, OwnStyle]

    @property
    def named(self) -> dict[str, float]:
        """Shares by the styles' names."""
        return {
            self.own[text].name if text in self.own else text: share
            for text, share in self.shares.items()
        }


def read_mix(texts: Sequence[str], styles: Shelf[OwnStyle]) -> Mix:
    """Return the mix of `name:share`; a name alone has the share 1.

    Raises:
        SettingsError: a share is no number.
    """
    mix: dict[str, float] = {}
    for text in texts:
        name, colon, share = text.rpartition(":")
        if not colon:
            name, share = text, "1"
        try:
            mix[name] = mix.get(name, 0.0) + float(share)
        except ValueError as error:
            raise SettingsError(
                "not a style's share",
                value=text,
                limit="name, or name:0 to name:1",
                fix="/openapi.json describes the options",
            ) from error
    return Mix(mix, {text: styles.get(text) for text in mix if text in styles})
