"""`python -m tasks.shared.profile profiles/NAME.yaml`: put a profile's values into params.yaml.

A profile is an overlay that holds differences only, so that DVC and the stages read one file. Lines
that it does not name, and comments, stay as they are.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualstylegan.errors import DualStyleGANError
from dualstylegan.io.files import write_bytes
from tasks.shared.sections import differences, put, read_yaml
from tasks.shared.sets import check_params
from tasks.shared.settings import DEFAULT_FILE

FAULT = 2


def apply(profile: Path | str, path: Path | str = DEFAULT_FILE) -> dict[str, tuple[Any, Any]]:
    """Put a profile's values into a file of settings, whole or not at all.

    Args:
        profile: overlay, a YAML file with some of the settings.
        path: file that is changed.

    Returns:
        What changed, as `section.name` to (old, new).

    Raises:
        SettingsError: a file cannot be read, or the result would be refused.
    """
    return put_settings(read_yaml(profile), profile, path)


def put_settings(
    overlay: Mapping[str, Any], origin: Path | str, path: Path | str = DEFAULT_FILE
) -> dict[str, tuple[Any, Any]]:
    """Put some settings into a file of settings, whole or not at all; see `apply`.

    Args:
        overlay: some of the settings.
        origin: what gave them, named in errors.
        path: file that is changed.
    """
    from ruamel.yaml import YAML

    changes = differences(overlay, read_yaml(path), origin)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        type(None), lambda out, _: out.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = yaml.load(Path(path).read_text(encoding="utf-8"))
    for key, (_, new) in changes.items():
        put(content, key, new)
    buffer = io.BytesIO()
    yaml.dump(content, buffer)
    check_params(content, origin)
    write_bytes(Path(path), buffer.getvalue())
    return changes


def main() -> None:
    """`python -m tasks.shared.profile FILE`."""
    parser = argparse.ArgumentParser(description="Put a profile's values into params.yaml.")
    parser.add_argument("profile", type=Path, metavar="FILE", help="such as profiles/NAME.yaml")
    given = parser.parse_args()
    try:
        changes = apply(given.profile)
    except DualStyleGANError as error:
        print(f"profile: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAULT)
    for key, (old, new) in changes.items():
        print(f"{key}: {old} -> {new}")
    print(f"{DEFAULT_FILE}: {len(changes)} settings changed")


if __name__ == "__main__":
    main()
