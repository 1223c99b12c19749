"""HTML fragments: escaped text, tags, tables, and images inlined as data."""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image

from tasks.pages.theme import STYLE

Attribute = str | int | float | None


def text(value: object) -> str:
    """Escape any value as text."""
    return escape(str(value))


def tag(name: str, *children: str, **attributes: Attribute) -> str:
    """Build an element. Children are markup, attribute values plain text.

    Attribute names lose a trailing underscore and turn inner ones into hyphens: `class_`,
    `aria_label`. None leaves an attribute out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(str(value))}"')
    return f"<{' '.join(parts)}>{''.join(children)}</{name}>"


def data_uri(image: Image.Image, pixels: int, quality: int = 86) -> tuple[str, int, int]:
    """Encode an image as inline JPEG of at most `pixels` per side; return width and height too."""
    shown = image.convert("RGB")
    shown.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=quality, optimize=True)
    coded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/jpeg;base64,{coded}", shown.width, shown.height


def picture(image: Image.Image, alt: str, pixels: int, class_: str | None = None) -> str:
    """Build an inline image with text alternative and size, so that the layout does not shift."""
    source, width, height = data_uri(image, pixels)
    sized = f'alt="{escape(alt)}" width="{width}" height="{height}"'
    kind = f' class="{class_}"' if class_ else ""
    return f'<img src="{source}" {sized}{kind} decoding="async">'


def table(
    header: list[str], rows: list[list[str]], caption: str | None = None, class_: str | None = None
) -> str:
    """Build a table from cells of markup; the first cell of each row is its header."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header)))
    body = tag(
        "tbody",
        *(
            tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
            for row in rows
        ),
    )
    title = tag("caption", text(caption)) if caption else ""
    return tag("div", tag("table", title, head, body, class_=class_), class_="scroll", tabindex=0)


def section(anchor: str, title: str, intro: str, *body: str) -> str:
    """Build a section with a heading; `title` and `intro` are text, `body` is markup."""
    return tag(
        "section",
        tag("h2", text(title), id=f"{anchor}-title"),
        tag("p", text(intro)) if intro else "",
        *body,
        id=anchor,
        aria_labelledby=f"{anchor}-title",
    )


def document(title: str, *body: str) -> str:
    """Build a whole page in the report's style, without scripts and external references."""
    head = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        # an empty icon: without it browsers request one from the server
        '<link rel="icon" href="data:,">' + tag("title", text(title)) + tag("style", STYLE)
    )
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}{tag("body", *body)}</html>\n'
