"""Software bill of materials (CycloneDX 1.6) of the library: what an installation runs.

The versions are those of this environment, in which the tests have passed; licences are those that
each package states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import dualstylegan
from dualstylegan.io.files import sha256_file, write_text

LIBRARY = "dualstylegan"
RUNTIME_EXTRAS = ("", "torch")
# Texts of licences stand in this field as well; a name is shorter.
MAX_LICENCE_NAME = 100


def canonical(name: str) -> str:
    """Return a package's name as indexes have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(name: str, package: Distribution) -> list[str]:
    """Return the names of the packages that a package needs here, sorted.

    Extras count for the library alone, those with which it runs models.
    """
    extras = RUNTIME_EXTRAS if name == LIBRARY else ("",)
    needed = map(Requirement, package.requires or ())
    here = (
        one
        for one in needed
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)
    )
    return sorted({canonical(one.name) for one in here})


def closure(root: str) -> dict[str, Distribution]:
    """Return a package and all that it needs, directly or not, by name; what is not here is not."""
    found: dict[str, Distribution] = {}
    waiting = [canonical(root)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting += requirements_of(name, found[name])
    return dict(sorted(found.items()))


def _reference(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _component(name: str, package: Distribution) -> dict[str, Any]:
    version = package.version.split("+")[0]
    facts: dict[str, Any] = {"type": "library", "name": name, "version": version}
    facts |= {"bom-ref": _reference(name, version), "purl": _reference(name, version)}
    meta = package.metadata.json
    licence = str(meta.get("license_expression") or meta.get("license") or "")
    if not licence or len(licence) > MAX_LICENCE_NAME:
        kinds = [text for text in meta.get("classifier", ()) if text.startswith("License")]
        licence = ", ".join(kind.rpartition(" :: ")[2] for kind in kinds)
    if licence:
        facts["licenses"] = [{"license": {"name": licence}}]
    return facts


def bill_of_materials(wheels: Sequence[Path]) -> dict[str, Any]:
    """Return the bill of some wheels: their digests, and what the library among them needs."""
    packages = closure(LIBRARY)
    own = packages.pop(LIBRARY, None)
    components = [_component(name, package) for name, package in packages.items()]
    files = [
        {
            "type": "file",
            "name": wheel.name,
            "bom-ref": wheel.name,
            "hashes": [{"alg": "SHA-256", "content": sha256_file(wheel)}],
        }
        for wheel in sorted(wheels)
    ]
    reference = {one["name"]: one["bom-ref"] for one in components}
    library = _reference(LIBRARY, dualstylegan.__version__)
    edges = {library: [] if own is None else requirements_of(LIBRARY, own)}
    edges |= {reference[name]: requirements_of(name, package) for name, package in packages.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "name": LIBRARY,
                "version": dualstylegan.__version__,
                "bom-ref": library,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [*components, *files],
        "dependencies": [
            {"ref": ref, "dependsOn": [reference[name] for name in names if name in reference]}
            for ref, names in edges.items()
        ],
    }


def write_bill(path: Path, wheels: Sequence[Path]) -> None:
    """Write the bill of some wheels as JSON, atomically: same environment, same bytes."""
    write_text(path, json.dumps(bill_of_materials(wheels), indent=2) + "\n")
