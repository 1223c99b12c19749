"""Configuration of the documentation site, which `make docs` builds with Sphinx.

The pages are Markdown files that read well by themselves. What only the site can show is made at
build time, from the code: navigation, reference, mathematics as MathML, charts as SVG.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.site.navigation import PAGES, ROOT_PAGE  # noqa: E402
from dualstylegan import __version__  # noqa: E402

project = "DualStyleGAN"
author = "dualstylegan developers"
project_copyright = "dualstylegan developers. Pictures: research only"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docs.site.navigation",
    "docs.site.reference",
    "docs.site.mathml",
    "docs.site.flowchart",
]
root_doc = ROOT_PAGE
include_patterns = [f"{page}.md" for page in PAGES]
# folders that hold no page: they are not walked
exclude_patterns = [
    ".*",
    "site",
    "dist",
    "data/[!b]*",
    "portraits",
    "tests",
    "dualstylegan",
    "tasks",
]
suppress_warnings = ["myst.header"]  # a page that a fragment of another one follows

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math", "mermaid"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "DualStyleGAN"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# summaries of what was found are fetched, which browsers refuse to pages that no server gives
html_show_search_summary = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#8a3d14", "color-brand-content": "#8a3d14"},
    "dark_css_variables": {"color-brand-primary": "#f0a070", "color-brand-content": "#f0a070"},
}
