"""Two wheels from a trained clone: the library, and its model as `dualstylegan-portraits`.

`python -m tasks.distribution` writes them to dist/. The second holds no code but the function that
tells where its model folder lies, an entry point by which the library finds it by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import dualstylegan
from dualstylegan.errors import DataError, OutputError
from dualstylegan.io.files import read_json, write_bytes, write_text
from dualstylegan.networks.config import MODEL_FILE
from dualstylegan.networks.listing import write_listing
from dualstylegan.portrait.card_file import read_card, write_card
from dualstylegan.portrait.config import (
    LICENCE_FILE,
    PortraitConfig,
    read_config,
    read_thumbnails,
)
from dualstylegan.portrait.half import write_half
from dualstylegan.portrait.stores import GROUP, READY
from tasks.shared.licence import model_licence
from tasks.shared.materials import write_bill
from tasks.shared.paths import PROJECT, Paths
from tasks.shared.runner import run_stage

OUTPUT = Path("dist")
NAME = "dualstylegan-portraits"
PACKAGE = NAME.replace("-", "_")
MODEL = "model"
BILL_FILE = "dualstylegan.cdx.json"
LIMIT_BYTES = 100_000_000
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
# Seconds since 1970 in a wheel's entries: same content, same bytes. The earliest that zip can say.
EPOCH = "315532800"

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"
description = "Portrait model for dualstylegan, {count} styles: research only, no commercial use"
readme = "README.md"
requires-python = ">=3.11"
license = "LicenseRef-Research-Only"
license-files = ["LICENSE.md"]
authors = [{{ name = "dualstylegan developers" }}]
keywords = ["DualStyleGAN", "portrait", "style transfer", "research only"]
classifiers = [
    "Intended Audience :: Science/Research",
    "Topic :: Scientific/Engineering :: Image Processing",
    "Typing :: Typed",
]
dependencies = ["dualstylegan[torch]>={version}"]

[project.entry-points."{group}"]
{ready} = "{package}:model_folder"

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["py.typed", "{model}/**"]
"""

_MODULE = '''\
"""A portrait model for dualstylegan. Research only, no commercial use: see LICENSE.md."""

from __future__ import annotations

from pathlib import Path


def model_folder(name: str = "") -> Path:
    """Return the model folder, whatever the name."""
    return Path(__file__).parent / "{model}"
'''

_README = """\
# {name}

A trained portrait model for the library `dualstylegan`, in half precision.
**Research only, no commercial use** (LICENSE.md).

```sh
pip install dualstylegan {name}
dualstylegan styles
dualstylegan transfer photo.jpg --style "{style}" -o out.png
```

In Python, `PortraitModel.from_pretrained("{ready}")`. The model card follows.

{card}"""


def build(model: Path, record: Path, output: Path) -> list[Path]:
    """Build both wheels, and a bill of their materials beside them; return the wheels' paths.

    Args:
        model: a trained model folder.
        record: of the weights' origins and licences, as the stage `download` writes it.
        output: folder of the wheels.

    Raises:
        CheckpointError: there is no model, or it is not whole.
        DataError: a wheel cannot be built.
        OutputError: the model's is too large, or the folder cannot be written.
    """
    if not (model / MODEL_FILE).is_file():
        raise DataError("no trained model", file=model, fix="run `make demo`")
    with tempfile.TemporaryDirectory(prefix="dualstylegan-dist-") as name:
        folder = Path(name)
        library, portraits = folder / "library", folder / "portraits"
        _lay_library(library)
        lay_portraits(model, record, portraits)
        wheels = [build_wheel(source, folder / "wheels") for source in (library, portraits)]
        size = wheels[1].stat().st_size
        if size >= LIMIT_BYTES:
            raise OutputError(
                "the model's wheel is too large for package indexes",
                file=wheels[1].name,
                value=f"{size / 1e6:.1f} MB",
                limit=f"{LIMIT_BYTES / 1e6:.0f} MB",
                fix="publish its folder as an archive, or train a smaller generator",
            )
        for wheel in wheels:
            write_bytes(output / wheel.name, wheel.read_bytes())
            print(f"{output / wheel.name}  {wheel.stat().st_size / 1e6:.1f} MB")
        write_bill(output / BILL_FILE, wheels)
        print(output / BILL_FILE)
    return [output / wheel.name for wheel in wheels]


def _lay_library(source: Path) -> None:
    """Copy the sources of the library's wheel, so that building it leaves nothing beside them."""
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "dualstylegan", source / "dualstylegan", ignore=hidden)
    for name in SOURCES:
        shutil.copyfile(PROJECT / name, source / name)


def lay_portraits(model: Path, record: Path, source: Path) -> None:
    """Write the sources of the model's distribution."""
    config = read_config(model)
    package = source / PACKAGE
    write_half(model, package / MODEL)
    text = read_card(package / MODEL, READY)
    licence = model_licence(read_json(record))
    write_card(package / MODEL, config, text, read_thumbnails(model, config.styles))
    write_text(package / MODEL / LICENCE_FILE, licence)
    write_listing(package / MODEL)
    write_text(source / LICENCE_FILE, licence)
    write_text(source / "README.md", _readme(config, text))
    write_text(package / "py.typed", "")
    write_text(package / "__init__.py", _MODULE.format(model=MODEL))
    facts = {"name": NAME, "package": PACKAGE, "model": MODEL, "group": GROUP, "ready": READY}
    version = dualstylegan.__version__
    written = _PYPROJECT.format(**facts, version=version, count=len(config.styles))
    write_text(source / "pyproject.toml", written)


def _readme(config: PortraitConfig, card: str) -> str:
    # pictures of the card are beside it in the wheel, not on a page of an index
    lines = [line for line in card.splitlines() if not line.startswith("![")]
    style = config.styles[0]
    return _README.format(name=NAME, style=style, ready=READY, card="\n".join(lines) + "\n")


def build_wheel(source: Path, output: Path) -> Path:
    """Build the wheel of a source folder, without the network; return its path.

    Raises:
        DataError: it cannot be built, with the builder's last words.
    """
    before = set(output.glob("*.whl"))
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(output))
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise DataError(
            "the wheel cannot be built",
            file=source.name,
            value=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            fix="run `make install`, which brings pip and setuptools",
        )
    (wheel,) = set(output.glob("*.whl")) - before
    return wheel


def main() -> None:
    """Run `python -m tasks.distribution`."""
    run_stage("dist", lambda: build(Paths.portrait, Paths.weights_record, OUTPUT), of_set=False)


if __name__ == "__main__":
    main()
