"""Stage `gallery`: one page over all style sets."""

from __future__ import annotations

from dualstylegan.io.files import write_text
from tasks.pages.gallery_page import render
from tasks.shared.cards import read_card
from tasks.shared.paths import Paths
from tasks.shared.runner import run_stage
from tasks.shared.sets import read_params


def gallery() -> None:
    """Write the page; a set that params.yaml no longer names is left out."""
    names = list(read_params().sets)
    cards = [read_card(Paths.cards / name) for name in names]
    inside = Paths.report.relative_to(Paths.style_set)
    home = Paths.gallery.parent
    reports = {name: (Paths.sets / name / inside).relative_to(home).as_posix() for name in names}
    write_text(Paths.gallery, render(cards, reports))


def main() -> None:
    """Run `python -m tasks.gallery`."""
    run_stage("gallery", gallery, of_set=False)


if __name__ == "__main__":
    main()
