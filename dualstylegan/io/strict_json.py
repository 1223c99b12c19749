"""JSON from strangers: no NaN, no endless nesting, no integers of thousands of digits."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from dualstylegan.errors import SettingsError

MAX_DEPTH = 32
FIX = "send the JSON that a JSON library writes"


def parse_strict(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises:
        SettingsError: it is no JSON, or none that can be served.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse)
    except RecursionError as error:
        raise _too_deep() from error
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError("not valid JSON", value=str(error)[:80], fix=FIX) from error
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [
            child
            for one in layer
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        if not layer:
            return value
    raise _too_deep()


def _refuse(name: str) -> NoReturn:
    raise SettingsError("not a value of JSON", value=name, fix="leave it out, or give a number")


def _too_deep() -> SettingsError:
    return SettingsError(
        "the JSON is nested too deeply",
        limit=f"{MAX_DEPTH} levels",
        fix="send an object of plain values",
    )
