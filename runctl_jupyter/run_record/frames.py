"""Frames in Parquet files, verified by reading them back. What is imported belongs to the value at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

from runctl_jupyter.run_record.formats import NotWritable
from runctl_jupyter.run_record.plain import is_json

_OURS = b"runctl"
"""Key of our own line in a file's metadata."""


def write_pandas(value: Any, path: Path) -> None:
    """Write a frame or a series of pandas."""
    import pyarrow as pa

    series = value.ndim == 1
    told = {
        "attrs": value.attrs,
        "freq": _frequency(value.index),
        "name": value.name if series else None,
        "columns": None if series else _range(value.columns),
    }
    if not is_json(told):
        raise NotWritable("parquet does not keep its name or attrs")
    table = pa.Table.from_pandas(value.to_frame("value") if series else value)
    table = table.replace_schema_metadata({**table.schema.metadata, _OURS: json.dumps(told).encode()})
    _write_table(table, path)
    if not (_same_series if series else _same_frame)(value, (read_series if series else read_frame)(path)):
        raise NotWritable("parquet does not give it back exactly")


def read_frame(path: Path) -> Any:
    """Read a frame of pandas."""
    return _frame(path)[0]


def read_series(path: Path) -> Any:
    """Read a series of pandas."""
    frame, told = _frame(path)
    series = frame.iloc[:, 0].rename(told["name"])
    series.attrs = told["attrs"]
    return series


def write_arrow(value: Any, path: Path) -> None:
    """Write a table of pyarrow."""
    _write_table(value, path)
    # Not the values: a table that holds NaN does not equal itself.
    if not read_arrow(path).schema.equals(value.schema, check_metadata=True):
        raise NotWritable("parquet does not keep its types")


def read_arrow(path: Path) -> Any:
    """Read a table of pyarrow."""
    import pyarrow.parquet as pq

    return pq.read_table(str(path))


def write_polars(value: Any, path: Path) -> None:
    """Write a frame of polars."""
    value.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
    found = read_polars(path)
    if found.schema != value.schema or not found.equals(value):
        raise NotWritable("parquet does not give it back exactly")


def read_polars(path: Path) -> Any:
    """Read a frame of polars."""
    import polars

    return polars.read_parquet(path)


def _write_table(table: Any, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    floats = [field.name for field in table.schema if field.type in (pa.float32(), pa.float64())]
    pq.write_table(
        table,
        str(path),
        compression="zstd",
        compression_level=1,
        # Dictionaries of floats cost half of the time and more space than they save; split by bytes, floats compress.
        use_dictionary=[name for name in table.schema.names if name not in floats],
        use_byte_stream_split=floats,
        write_statistics=False,
    )


def _frame(path: Path) -> tuple[Any, dict[str, Any]]:
    table = read_arrow(path)
    told: dict[str, Any] = json.loads(table.schema.metadata[_OURS])
    frame = table.to_pandas()
    frame.attrs = told["attrs"]
    if told["columns"]:
        import pandas as pd

        start, stop, step = told["columns"]
        frame.columns = pd.RangeIndex(start, stop, step, name=frame.columns.name)
    if told["freq"]:
        frame.index.freq = told["freq"]
    return frame, told


def _frequency(index: Any) -> Any:
    """Return the frequency that an index carries besides its values; that of periods is their type."""
    return getattr(index, "freqstr", None) if index.dtype.kind in "mM" else None


def _range(index: Any) -> Optional[list[int]]:
    """Return the bounds of an index that is a range, as that of columns without names."""
    return [index.start, index.stop, index.step] if type(index).__name__ == "RangeIndex" else None


def _same_frame(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.attrs != other.attrs or not one.equals(other):
        return False
    columns = ((one.iloc[:, i], other.iloc[:, i]) for i in range(one.shape[1]))
    return (
        _same_index(one.columns, other.columns)
        and _same_index(one.index, other.index)
        and all(left.dtype == right.dtype and _same_types(left, right) for left, right in columns)
    )


def _same_series(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.attrs != other.attrs or not one.equals(other):
        return False
    return (
        type(one.name) is type(other.name)
        and bool(one.name == other.name)
        and one.dtype == other.dtype
        and _same_types(one, other)
        and _same_index(one.index, other.index)
    )


def _same_index(one: Any, other: Any) -> bool:
    if not one.identical(other) or _frequency(one) != _frequency(other):
        return False
    if one.nlevels > 1:
        return all(map(_same_index, one.levels, other.levels))
    return _same_types(one, other)


def _same_types(one: Any, other: Any) -> bool:
    """Whether objects are of the same types, one by one: `equals` takes 1 and True for the same."""
    return one.dtype != object or list(map(type, one)) == list(map(type, other))
