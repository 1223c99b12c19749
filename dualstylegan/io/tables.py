"""Tables in parquet: written atomically and sealed, read only if they are whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dualstylegan.errors import DataError
from dualstylegan.io.files import write_bytes
from dualstylegan.io.seals import BLANK, is_whole, sealed

if TYPE_CHECKING:
    import pyarrow as pa

SEAL = "seal"
READ_FIX = "run the stage that writes it again"


def write_table(path: Path | str, table: pa.Table) -> None:
    """Write a table atomically: same table, same bytes. Its metadata is kept.

    Raises:
        DataError: pyarrow is not installed; OutputError: the file cannot be written.
    """
    require_arrow()
    import pyarrow as pa
    from pyarrow import parquet

    meta = {**(table.schema.metadata or {}), SEAL: BLANK}
    buffer = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(meta), buffer)
    write_bytes(path, sealed(buffer.getvalue().to_pybytes()))


def read_table(path: Path | str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table that `write_table` wrote, all columns or some.

    Raises:
        DataError: the file is missing, damaged or not such a table, it lacks a column, or pyarrow
            is not installed.
    """
    require_arrow()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        whole = is_whole(path)
        table = parquet.read_table(path, columns=None if columns is None else list(columns))
    except FileNotFoundError as error:
        raise DataError("no such file", file=path, fix="run the stage that writes it") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError("not a table", file=path, value=error, fix=READ_FIX) from error
    if not whole:
        found = "bytes that do not agree with its seal" if whole is False else "no seal"
        raise DataError("a damaged table", file=path, value=found, fix=READ_FIX)
    missing = set(columns or ()) - set(table.column_names)
    if missing:
        raise DataError("columns are missing", file=path, value=sorted(missing), fix=READ_FIX)
    return table


def require_arrow() -> None:
    """Refuse to go on without pyarrow.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError(
            "tables need pyarrow", fix="install the extra `dualstylegan[pipeline]`"
        ) from error
