"""What the form says and what is launched are the same: through the magic's expansion and the command tree."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.commands.jobs import train
from runctl_jupyter.magics.expansion import expand
from runctl_jupyter.widgets.launch_line import LaunchChoice, as_magic

NAMESPACE = {"x": "WRONG", "lr": "WRONG", "a": "WRONG"}


def parsed(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return what the tree understands of a `train` line, and the script's own words."""
    assert words[0] == "train"
    context = train.make_context("train", words[1:])
    return context.params, list(context.meta["runctl.script_arguments"])


def understood(magic: str) -> list[str]:
    """Return the words that the notebook door makes of a line."""
    assert magic.startswith("%runctl ")
    line = magic.removeprefix("%runctl ")
    assert not line.rstrip().endswith((";", "?"))
    return shlex.split(expand(line, NAMESPACE))


def test_the_line_of_the_example() -> None:
    choice = LaunchChoice("fit.py", "g5.xlarge", params=[("lr", "0.0003")])
    assert choice.magic() == "%runctl train fit.py --instance-type g5.xlarge --param lr=0.0003"


def test_all_of_it_is_parsed_back() -> None:
    params, arguments = [("lr", "-1e-4"), ("n", "3")], [("--epochs", "-2"), ("--b", "7")]
    choice = LaunchChoice("sub/my fit.py", "g5.xlarge", "digits", "90m", "2.5", params, arguments, spot=True)
    request, words = parsed(understood(choice.magic()))
    assert request["script"] == "sub/my fit.py"
    assert request["instance_type"] == "g5.xlarge"
    assert request["spot"] is True
    assert request["name"] == "digits"
    assert request["ttl"] == 5400.0
    assert request["max_cost"] == 2.5
    assert request["param"] == tuple(params)
    assert words == ["--epochs=-2", "--b", "7"]


@pytest.mark.parametrize("max_cost", ["-5", "five"])
def test_a_wrong_value_stays_a_value(max_cost: str) -> None:
    words = understood(LaunchChoice("fit.py", max_cost=max_cost).magic())
    if max_cost == "-5":
        assert parsed(words)[0]["max_cost"] == -5.0
    else:
        with pytest.raises(click.BadParameter):
            parsed(words)


TEXT = st.text(st.sampled_from("ab x-{}$'\"\\;?%!=#~.ü"), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)


@settings(max_examples=150, deadline=None)
@given(script=TEXT, name=TEXT, key=st.sampled_from(["lr", "a.b", "x-y"]), value=TEXT, argument=TEXT)
def test_whatever_is_typed_means_itself(script: str, name: str, key: str, value: str, argument: str) -> None:
    choice = LaunchChoice(script, "m5.large", name, params=[(key, value)], arguments=[("--text", argument)])
    words = understood(choice.magic())
    assert words == choice.words() == shlex.split(choice.line())
    params, arguments = parsed(words)
    assert params["script"].removeprefix("./") == script.removeprefix("./")
    assert params["name"] == name
    assert params["param"] == ((key, value),)
    assert arguments in (["--text", argument], [f"--text={argument}"])


@settings(max_examples=150, deadline=None)
@given(line=st.text(st.sampled_from("ax {}$'\""), max_size=20))
def test_expansion_gives_back_every_line(line: str) -> None:
    assert expand(as_magic(line), NAMESPACE) == line
