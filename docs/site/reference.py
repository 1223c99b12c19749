"""Reference pages of the site, made at build time from what the code says of itself.

Each page of `docs/reference` begins with an introduction of its own; the site continues it here.
"""

from __future__ import annotations

from collections.abc import Callable

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from docs.site import commands, python_api, rest, settings_tables

GENERATED: dict[str, Callable[[], str]] = {
    "docs/reference/commands": commands.page,
    "docs/reference/python": python_api.page,
    "docs/reference/settings": settings_tables.page,
    "docs/reference/rest": rest.page,
}


def _continue(app: Sphinx, page: str, source: list[str]) -> None:
    if page in GENERATED:
        source[0] += f"\n\n{GENERATED[page]()}\n"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the extension."""
    app.connect("source-read", _continue)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
