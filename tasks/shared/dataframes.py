"""Pandas' data frames as sealed tables in parquet, see `dualstylegan.io.tables`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dualstylegan.io.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd


def write_dataframe(path: Path | str, frame: pd.DataFrame) -> None:
    """Write a data frame atomically: same frame, same bytes."""
    import pyarrow as pa

    write_table(path, pa.Table.from_pandas(frame))


def read_dataframe(path: Path | str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a data frame that `write_dataframe` wrote, all columns or some.

    Raises:
        DataError: the file is missing, damaged or not such a table, or it lacks a column.
    """
    frame: pd.DataFrame = read_table(path, columns).to_pandas()
    return frame
