"""DualStyleGAN: exemplar-based portrait style transfer as a library.

The method of Yang et al., "Pastiche Master" (CVPR 2022). This package holds the method alone: it
knows no orchestrator, no data versioning and no registry, and importing it loads no framework.
Without torch it restyles photos by models in ONNX form.

    from dualstylegan import PortraitModel

    model = PortraitModel.from_pretrained("folder")
    model.transfer(photo, "style").save("out.png")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Before torch is imported: MKL, on several threads, sums matrix products in an order that depends
# on where memory happens to lie, so that two runs part. In this mode same inputs give same bytes.
os.environ.setdefault("MKL_CBWR", "AUTO")

if TYPE_CHECKING:
    from dualstylegan.portrait.add_style import add_style
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.styles import StyleLibrary

__version__ = "0.1.0"
__all__ = ["PortraitModel", "StyleLibrary", "__version__", "add_style"]

_HOMES = {
    "PortraitModel": "dualstylegan.portrait.model",
    "StyleLibrary": "dualstylegan.portrait.styles",
    "add_style": "dualstylegan.portrait.add_style",
}


def __getattr__(name: str) -> object:
    """Import an exported name on first use, so that importing the package stays free."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "add_style":
        from dualstylegan.portrait.runtimes import require_torch

        require_torch("add_style")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the exported names beside the module's own."""
    return sorted({*globals(), *__all__})
