"""Numbers found in scripts, and their ranges."""

from __future__ import annotations

import textwrap

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.widgets.knobs import Knob, find_knobs, with_ranges

SCRIPT = textwrap.dedent("""
    import argparse, os
    from os import environ, getenv
    raise SystemExit("must never run")
    lr = float(os.environ.get("RUNCTL_PARAM_LR", "3e-4"))
    epochs = int(os.environ.get("RUNCTL_PARAM_EPOCHS", "20"))
    momentum = float(environ.get("RUNCTL_PARAM_MOMENTUM", 1))
    decay = getenv("RUNCTL_PARAM_DECAY", 0)
    name = os.environ.get("RUNCTL_PARAM_NAME", "resnet")
    other = os.environ.get("HOME", "3")
    none = os.environ.get("RUNCTL_PARAM_NONE")
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", "--batch-size", type=int, default=64)
    parser.add_argument("--gamma", type=float, default=1)
    parser.add_argument("--shift", default=-0.5)
    parser.add_argument("--half", action="store_true", default=0)
    parser.add_argument("--mode", default="fast")
    parser.add_argument("--level", type=int, choices=[1, 2], default=1)
    parser.add_argument("--flag", default=True)
    parser.add_argument("path", default=3)
    parser.add_argument("--lr2", type=float, default=float(os.environ.get("RUNCTL_PARAM_LR2", "0.1")))
""")


def test_numbers_with_defaults_are_found() -> None:
    found = {knob.name: (knob.kind, knob.value, knob.whole) for knob in find_knobs(SCRIPT)}
    assert found == {
        "lr": ("param", 3e-4, False),
        "epochs": ("param", 20, True),
        "momentum": ("param", 1.0, False),
        "decay": ("param", 0, True),
        "--batch-size": ("argument", 64, True),
        "--gamma": ("argument", 1.0, False),
        "--shift": ("argument", -0.5, False),
        "lr2": ("param", 0.1, False),
    }


@pytest.mark.parametrize(
    "default", ["0", "1", "7", "-3", "1337", "1e-12", "3e-4", "0.1", "0.5", "0.125", "1.0", "5.5", "-0.2", "250.0"]
)
def test_the_default_lies_in_the_range(default: str) -> None:
    (knob,) = find_knobs(f'import os; os.environ.get("RUNCTL_PARAM_X", {default})')
    assert knob.low <= knob.value <= knob.high
    assert knob.low < knob.high
    assert knob.step is None or knob.step > 0
    assert knob.step is not None or knob.low > 0
    if knob.step is not None:  # a slider rounds to its steps: the default must be one
        assert (knob.value - knob.low) / knob.step == pytest.approx(
            round((knob.value - knob.low) / knob.step), abs=1e-6
        )
    assert float(knob.text(knob.value)) == float(default)


@pytest.mark.parametrize("default", ["inf", "'nan'", "1e400", "True", "'x'", "None", "f()", "10**30"])
def test_what_is_no_number_is_left_out(default: str) -> None:
    assert find_knobs(f'import os; os.environ.get("RUNCTL_PARAM_X", {default})') == []


@pytest.mark.parametrize("source", ["def (", "\0", "if x:\nprint()"])
def test_a_file_that_is_no_python_is_said(source: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read as Python"):
        find_knobs(source)


def test_given_ranges_win_and_come_first() -> None:
    knobs = find_knobs(SCRIPT)
    ranged = with_ranges(knobs, {"lr": (1e-5, 1e-2), "width": (16, 256, 16), "epochs": (50, 90)})
    assert ranged[:3] == [
        Knob("lr", "param", 3e-4, 1e-5, 1e-2, None),
        Knob("width", "param", 16, 16, 256, 16),
        Knob("epochs", "param", 50, 50, 90, 1),
    ]
    assert len(ranged) == len(knobs) + 1
    (plain,) = with_ranges([], {"dropout": (0.0, 0.5)})
    assert (plain.value, plain.step, plain.whole) == (0.0, 0.005, False)


def test_a_default_is_a_step_of_its_slider() -> None:
    knobs = find_knobs('import os; os.getenv("RUNCTL_PARAM_A", 0.1234); os.getenv("RUNCTL_PARAM_B", 20)')
    a, b = with_ranges(knobs, {"a": (0.0, 0.5), "b": (16, 64, 16)})
    assert a.step is not None
    assert a.value == 0.1234
    assert a.value / a.step == pytest.approx(25)
    assert b.value == 16
    assert a.text(0.1234 + 1e-12) == "0.1234"


@pytest.mark.parametrize("span", [(1,), (2, 1), (1, 1), (0, 1, 0), (0, 1, 2, 3), ("a", "b"), (0, float("inf"))])
def test_what_is_no_range_is_refused(span: tuple[float, ...]) -> None:
    with pytest.raises(InvalidRequest, match="no range for lr"):
        with_ranges([], {"lr": span})


def test_moved_values_are_short() -> None:
    knob = Knob("lr", "param", 3e-4, 1e-5, 1e-2)
    assert knob.text(10**-3.5) == "0.000316"
    assert Knob("x", "param", 0.5, 0.0, 1.0, 0.01).text(0.1 + 0.2) == "0.3"
