"""A value comes back as it was: of the same type, with the same bytes inside, or it is not written at all."""

from __future__ import annotations

import collections
import datetime
import decimal
import hashlib
import math
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.run_record import formats, values

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "value"


def round_trip(value: Any, path: Path, kind: str) -> Any:
    written = values.dump(value, path)
    assert written.format == kind
    return values.load(written.format, path)


def same(one: Any, other: Any) -> bool:
    """Equal to the type and to the bits of floats."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_plain_values_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "plain"
    written = values.dump(value, path)
    assert written.format in (formats.JSON, formats.PICKLE)
    assert same(values.load(written.format, path), value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "json"),
        ({"a": [1, 2.5, math.inf, "ü", True], "b": {}}, "json"),
        pytest.param(10**3000, "json", id="large"),
        pytest.param(10**5000, "pickle", id="too large for JSON"),
        pytest.param("\ud83d", "pickle", id="half a pair"),
        pytest.param(["\ud83d", "\ude00"], "pickle", id="a pair in two"),
        ((1, 2), "pickle"),
        ({1: 2}, "pickle"),
        (b"bytes", "pickle"),
        ({1, 2}, "pickle"),
        (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "pickle"),
        (decimal.Decimal("0.1"), "pickle"),
        (collections.Counter("aab"), "pickle"),
    ],
)
def test_json_takes_what_it_keeps_and_a_pickle_the_rest(path: Path, value: Any, kind: str) -> None:
    assert same(round_trip(value, path, kind), value)


def test_a_list_that_is_in_a_value_twice_is_one_list_afterwards(path: Path) -> None:
    inner = [0]
    back = round_trip({"a": inner, "b": inner}, path, "pickle")
    assert back["a"] is back["b"]


def test_a_value_that_holds_itself_comes_back(path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    back = round_trip(loop, path, "pickle")
    assert back[0] is back


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<i4").reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.arange(10)[::3],
        np.array(3.0),
        np.zeros((0, 4), dtype=bool),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.arange(3, dtype=">f4"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
)
def test_arrays_come_back(path: Path, array: np.ndarray[Any, Any]) -> None:
    back = round_trip(array, path, "npy")
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_an_array_of_objects_is_a_pickle(path: Path) -> None:
    assert round_trip(np.array([1, "a"], dtype=object), path, "cloudpickle").tolist() == [1, "a"]


@pytest.mark.parametrize("scalar", [np.float64(0.1), np.int8(3), np.bool_(True), np.datetime64("2020-01-01T00:00")])
def test_numpy_scalars_stay_scalars(path: Path, scalar: Any) -> None:
    back = round_trip(scalar, path, "npy scalar")
    assert type(back) is type(scalar)
    assert back == scalar


def test_a_dictionary_of_arrays_keeps_its_order(path: Path) -> None:
    arrays = {"z": np.arange(4.0).reshape(2, 2).T, "a": np.array(7, dtype="u1"), "m": np.zeros(0)}
    back = round_trip(arrays, path, "safetensors numpy")
    assert list(back) == ["z", "a", "m"]
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
        assert back[name].flags.writeable


def frame() -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "i": np.arange(4, dtype="i2"),
            "f": [0.1, math.nan, math.inf, -0.0],
            "s": ["a", "b", None, "ü"],
            "c": pd.Categorical(["x", "y", "x", "x"], categories=["y", "x", "z"], ordered=True),
            "t": pd.date_range("2020", periods=4, tz="Europe/Berlin", unit="ns"),
            "n": pd.array([1, None, 3, 4], dtype="Int64"),
            "d": pd.to_timedelta([1, 2, 3, 4], unit="s"),
            "p": pd.period_range("2020-01", periods=4, freq="M"),
        },
        index=pd.date_range("2021", periods=4, freq="D", name="when"),
    )
    made.attrs = {"source": "test"}
    return made


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "all types": frame,
    "empty": lambda: pd.DataFrame({"a": []}),
    "numbered columns": lambda: pd.DataFrame(np.ones((3, 2))),
    "named columns": lambda: pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="axis")),
    "part of a range": lambda: pd.DataFrame({"x": np.arange(9)}).iloc[2::3],
    "two indexes": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "v": [0.5, 1.5]}).set_index(["a", "b"]),
    "one column": lambda: pd.DataFrame({"x": [1.0, 2.0]}),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames_come_back_from_parquet(path: Path, make: Callable[[], pd.DataFrame]) -> None:
    sent = make()
    back = round_trip(sent, path, "parquet")
    pd.testing.assert_frame_equal(back, sent, check_exact=True, check_freq=True)
    assert back.attrs == sent.attrs
    back.loc[back.index[:1], back.columns[0]] = sent.iloc[:1, 0]


@pytest.mark.parametrize(
    "sent",
    [
        pd.DataFrame({"o": pd.Series([True, 1, 1.0], dtype=object)}),
        pd.DataFrame({"o": [[1], [2]]}),
        pd.DataFrame({"o": [{"a": 1}, {"b": 2}]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"o": pd.Series([1, 2], dtype=object)}),
    ],
)
def test_what_parquet_would_change_is_a_pickle(path: Path, sent: pd.DataFrame) -> None:
    back = round_trip(sent, path, "cloudpickle")
    pd.testing.assert_frame_equal(back, sent, check_exact=True)
    for one, other in zip(sent.to_numpy().ravel(), back.to_numpy().ravel(), strict=True):
        assert type(one) is type(other)


@pytest.mark.parametrize("name", ["x", None, 3])
def test_series_come_back_from_parquet(path: Path, name: Any) -> None:
    sent = pd.Series([1, 2, 3], name=name, index=pd.Index(list("abc"), name="k"), dtype="i4")
    pd.testing.assert_series_equal(round_trip(sent, path, "parquet series"), sent)


def test_tables_of_arrow_come_back(path: Path) -> None:
    sent = pa.table({"x": [1.0, None], "s": ["a", "b"]}).replace_schema_metadata({"k": "v"})
    assert round_trip(sent, path, "parquet arrow").equals(sent, check_metadata=True)


def test_frames_of_polars_come_back(path: Path) -> None:
    sent = pl.DataFrame({"a": [1, None], "b": [["x"], []]})
    assert round_trip(sent, path, "parquet polars").equals(sent)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": [1.5, "x"]},
        lambda: np.arange(1000.0),
        lambda: {"x": np.arange(10.0), "y": np.arange(3)},
        lambda: pd.DataFrame({"a": np.arange(1000), "s": list("ab") * 500}),
        lambda: (1, "a", None),
    ],
)
def test_equal_values_have_equal_bytes(tmp_path: Path, make: Callable[[], Any]) -> None:
    digests = set()
    for name in ("one", "two"):
        values.dump(make(), tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


PROGRAM = """
import sys
from pathlib import Path
from runctl_jupyter.run_record import values
import numpy as np
scale = 3
class Net:
    def out(self):
        return np.float64(scale)
written = values.dump(Net(), Path(sys.argv[1]))
print(written.format, written.type, written.python, sorted(written.libraries))
"""


def defined_elsewhere(path: Path, program: str = PROGRAM) -> str:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_code_of_a_notebook_travels_and_names_its_python(path: Path) -> None:
    told = defined_elsewhere(path)
    assert told == f"cloudpickle Net {formats.python_version()} ['cloudpickle', 'numpy']"
    assert values.load("cloudpickle", path).out() == 3.0


def test_code_of_another_python_is_not_unpickled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defined_elsewhere(path)
    monkeypatch.setattr("runctl_jupyter.run_record.pickles.python_version", lambda: "3.99")
    with pytest.raises(values.NotReadable, match=rf"code of Python {formats.python_version()}.*Python 3\.99"):
        values.load("cloudpickle", path)


def test_without_cloudpickle_code_of_a_notebook_is_refused(path: Path) -> None:
    program = PROGRAM.replace("import numpy as np", "import numpy as np; sys.modules['cloudpickle'] = None")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        defined_elsewhere(path, program=program)
    assert "cloudpickle is not installed" in raised.value.stderr
    assert not path.exists()


def test_objects_of_libraries_name_them(path: Path) -> None:
    """By module, with the version of the distribution, whose name may be another: python-dateutil."""
    from dateutil.relativedelta import relativedelta

    written = values.dump(relativedelta(days=1), path)
    assert (written.format, written.type) == ("cloudpickle", "dateutil.relativedelta.relativedelta")
    assert written.python is None
    assert written.libraries == {"dateutil": metadata.version("python-dateutil")}
    assert values.load("cloudpickle", path) == relativedelta(days=1)


def test_what_nothing_can_write_says_why_and_leaves_no_file(path: Path) -> None:
    with pytest.raises(values.NotWritable, match="cannot pickle"):
        values.dump(threading.Lock(), path)
    assert not path.exists()


def test_a_missing_library_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values.dump(np.zeros(3), path)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(values.NotReadable, match="numpy, not installed"):
        values.load("npy", path)


@pytest.mark.parametrize("kind", ["json", "npy", "cloudpickle", "pickle", "new"])
def test_damaged_files_are_refused(path: Path, kind: str) -> None:
    path.write_bytes(b"\x00damaged")
    with pytest.raises(values.NotReadable):
        values.load(kind, path)


def test_nothing_heavy_is_imported_for_plain_values(path: Path) -> None:
    program = """
import sys
from pathlib import Path
from runctl_jupyter.run_record import values
path = Path(sys.argv[1])
assert values.format_of((1, 2)) == "cloudpickle"
values.load(values.dump([1], path).format, path)
print(sorted({"numpy", "pandas", "pyarrow", "torch", "cloudpickle", "safetensors"} & set(sys.modules)))
"""
    assert defined_elsewhere(path, program=program) == "[]"
