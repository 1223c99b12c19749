"""Reference of the Python API, from docstrings."""

from __future__ import annotations

# Public names by section, with the directive that shows each.
SECTIONS: dict[str, list[tuple[str, str]]] = {
    "The model": [
        ("autoclass", "dualstylegan.PortraitModel"),
        ("autoclass", "dualstylegan.portrait.options.RestyleOptions"),
        ("autoclass", "dualstylegan.portrait.options.ReadOptions"),
        ("autofunction", "dualstylegan.portrait.stores.find_model"),
    ],
    "Faces and their codes": [
        ("autoclass", "dualstylegan.portrait.sitter.Sitter"),
        ("autoclass", "dualstylegan.portrait.sitter.SitterFace"),
        ("autoclass", "dualstylegan.portrait.sitter.FaceFit"),
    ],
    "Styles": [
        ("autoclass", "dualstylegan.StyleLibrary"),
        ("autofunction", "dualstylegan.add_style"),
        ("autoclass", "dualstylegan.portrait.add_style.AddStyleSettings"),
        ("autoclass", "dualstylegan.portrait.add_style.AddedStyle"),
    ],
    "Results": [
        ("autofunction", "dualstylegan.portrait.result.facts_of"),
        ("autofunction", "dualstylegan.portrait.result.encode_result"),
        ("autoclass", "dualstylegan.portrait.result.Recipe"),
    ],
    "Folders, films and videos": [
        ("autofunction", "dualstylegan.portrait.batch.restyle_photos"),
        ("autoclass", "dualstylegan.portrait.batch.BatchPlan"),
        ("autoclass", "dualstylegan.portrait.batch.PhotoOutcome"),
        ("autoclass", "dualstylegan.portrait.batch.Outcome"),
        ("autofunction", "dualstylegan.portrait.batch.result_stems"),
        ("autofunction", "dualstylegan.portrait.film.film_frames"),
        ("autofunction", "dualstylegan.portrait.film.write_film"),
        ("autoclass", "dualstylegan.portrait.film.FilmPlan"),
        ("autofunction", "dualstylegan.video.restyling.restyle_video"),
        ("autoclass", "dualstylegan.video.restyling.RestyledVideo"),
    ],
    "Pictures": [
        ("autofunction", "dualstylegan.io.images.read_image"),
    ],
    "Errors": [("automodule", "dualstylegan.errors")],
}


def page() -> str:
    """Return the reference as directives of Sphinx, which reads the docstrings."""
    blocks = []
    for title, names in SECTIONS.items():
        lines = [f"## {title}", "", "```{eval-rst}"]
        for directive, name in names:
            lines += [f".. {directive}:: {name}"]
            if directive != "autofunction":
                lines += ["   :members:"]
            if directive == "automodule":
                lines += ["   :show-inheritance:"]
            lines.append("")
        blocks.append("\n".join([*lines, "```"]))
    return "\n\n".join(blocks)
