"""Navigation of the site: its pages by section, and the redirect from the site's folder.

The order of the pages stands here, so that the pages themselves need no directives of Sphinx.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

ROOT_PAGE = "docs/README"
NAVIGATION = {
    "Start": ["README"],
    "Tutorial": ["docs/tutorial"],
    "How-to": [
        "docs/howto/folder",
        "docs/howto/mix",
        "docs/howto/add-style",
        "docs/howto/film",
        "docs/howto/video",
        "docs/howto/serve",
        "docs/howto/export",
        "docs/onnx",
        "docs/web",
        "docs/hub",
        "docs/machines",
        "docs/ranks",
        "docs/scale",
        "docs/howto/style-sets",
        "docs/howto/registry",
        "docs/howto/schedule",
        "docs/howto/remotes",
        "docs/howto/machines",
        "docs/howto/published",
        "docs/howto/recipe",
        "docs/troubleshooting",
        "examples/README",
    ],
    "Method": [
        "docs/method",
        "docs/equations",
        "docs/fitting",
        "docs/training",
        "docs/pasting",
        "docs/video",
        "docs/evaluation",
        "docs/glossary",
    ],
    "Reference": [
        "docs/reference/commands",
        "docs/reference/python",
        "docs/reference/settings",
        "docs/reference/rest",
        "docs/studio",
        "docs/serving",
        "docs/distribution",
        "docs/published",
    ],
    "Project": [
        "CONTRIBUTING",
        "docs/map",
        "docs/speed",
        "docs/reliability",
        "docs/faults",
        "data/base/README",
        "SECURITY",
        "CHANGELOG",
    ],
}
PAGES = [ROOT_PAGE, *(page for section in NAVIGATION.values() for page in section)]
# Titles in the navigation, of pages whose own say something else to readers of the file.
TITLES = {"README": "Overview", "docs/tutorial": "A model of your own portraits"}
REDIRECT = """<!doctype html>
<meta charset="utf-8">
<title>DualStyleGAN</title>
<meta http-equiv="refresh" content="0; url={page}.html">
<a href="{page}.html">DualStyleGAN</a>
"""


def toctrees() -> str:
    """Return the navigation as Markdown for Sphinx."""
    blocks = (
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```"])
        for caption, pages in NAVIGATION.items()
        for entries in [[_entry(page) for page in pages]]
    )
    return "\n\n".join(blocks)


def _entry(page: str) -> str:
    """Return a page's line in the navigation; it goes by its title where it has no other."""
    return f"{TITLES[page]} </{page}>" if page in TITLES else f"/{page}"


def _add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    if page == ROOT_PAGE:
        source[0] += f"\n\n{toctrees()}\n"


def _write_redirect(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        Path(app.outdir, "index.html").write_text(REDIRECT.format(page=ROOT_PAGE))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the extension."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _write_redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
