"""The bill of materials names what is installed, once each, with edges that lead somewhere."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from tasks.shared.materials import write_bill


def test_the_bill_holds_what_the_library_runs(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1.whl"
    wheel.write_bytes(b"content")
    write_bill(tmp_path / "bill.json", [wheel])
    bill = json.loads((tmp_path / "bill.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {one["name"]: one for one in bill["components"]}
    assert len(named) == len(bill["components"])
    for name in ("numpy", "pillow", "safetensors", "torch", "typing-extensions"):
        assert named[name]["version"] == version(name).split("+")[0]
        assert named[name]["licenses"]
    # of the pipeline and of the tests
    assert not named.keys() & {"prefect", "dvc", "mlflow", "pandas", "pytest"}
    digest = hashlib.sha256(b"content").hexdigest()
    assert named["a-1.whl"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_every_edge_leads_to_a_component(tmp_path: Path) -> None:
    write_bill(tmp_path / "bill.json", [])
    bill = json.loads((tmp_path / "bill.json").read_text())
    references = {one["bom-ref"] for one in bill["components"]}
    root = bill["metadata"]["component"]["bom-ref"]
    edges = {edge["ref"]: edge["dependsOn"] for edge in bill["dependencies"]}
    assert edges.keys() == references | {root}
    assert {target for targets in edges.values() for target in targets} == references
    assert edges[root]
