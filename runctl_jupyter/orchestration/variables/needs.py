"""What a machine must have to read variables, asked and compared before anything is launched."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata

from runctl_jupyter.orchestration.errors import InstanceNotReady, InvalidRequest
from runctl_jupyter.orchestration.variables.pack import PackedValue
from runctl_jupyter.run_record import formats

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")

_PROBE = """\
set -eu
python="${RUNCTL_PYTHON:-}"
if [ -z "$python" ] && [ -x /opt/pytorch/bin/python ]; then python=/opt/pytorch/bin/python; fi
exec "${python:-python3}" - <<'RUNCTL_PROBE'
from __future__ import annotations
import importlib.util, json, sys

LIBRARY_VERSION
def look(module):
    return (library_version(module) or "") if importlib.util.find_spec(module) else None

print(json.dumps({"python": "%d.%d" % sys.version_info[:2], "libraries": {each: look(each) for each in MODULES}}))
RUNCTL_PROBE
"""


@dataclass(frozen=True)
class Needs:
    """What it takes to read some values."""

    values: tuple[PackedValue, ...] = ()

    @property
    def modules(self) -> list[str]:
        """What a machine has to be asked for; nothing if any Python reads the values."""
        return sorted({module for value in self.values for module in _modules(value)})

    @property
    def python(self) -> str | None:
        """The Python that code in the values has to be read with, e.g. ``3.11``."""
        return next((value.python for value in self.values if value.python), None)

    @property
    def asks(self) -> bool:
        """Whether it depends on the machine at all."""
        return bool(self.modules or self.python)


@dataclass(frozen=True)
class MachinePython:
    """The Python of a machine and the versions of modules in it: empty when unknown, None when it is not there."""

    python: str
    libraries: dict[str, str | None]


def needs(packed: Iterable[PackedValue]) -> Needs:
    """Return what it takes to read values."""
    return Needs(tuple(packed))


def check_needs(needs: Needs, found: MachinePython | None, *, brought: Collection[str] = ()) -> None:
    """Compare what values need with what a machine has.

    Parameters
    ----------
    found
        None for a machine that is still to be launched: then only pickles are refused, which depend on its Python.
    brought
        Distributions that the job's requirements install, from `requirement_names`: their versions are asked for there.

    Raises
    ------
    InvalidRequest
        Says which variable needs what, and what is there.
    """
    for value in needs.values:
        if found is None:
            _refuse_pickle(value)
        else:
            _check(value, found, brought)


def _refuse_pickle(value: PackedValue) -> None:
    if value.stored.format != formats.CLOUDPICKLE:
        return
    depends = [f"{name} {version}".strip() for name, version in value.libraries.items()]
    if value.python:
        depends.insert(0, f"Python {value.python}")
    on = f" by {', '.join(depends)}" if depends else ""
    raise InvalidRequest(
        f"{value.stored.name} is a {value.stored.type} and travels as cloudpickle, to be read{on}; "
        "what a machine that is still to be launched has is not known.",
        "Run it --on a machine that is there, or send a frame, an array, or plain data.",
    )


def _check(value: PackedValue, found: MachinePython, brought: Collection[str]) -> None:
    name, kind = value.stored.name, value.stored.type
    if value.python is not None and value.python != found.python:
        raise InvalidRequest(
            f"{name} is a {kind} and travels as cloudpickle: Python {value.python} here, {found.python} there.",
            "Send a frame, an array, or plain data, or use the same Python on both sides.",
        )
    for module in _modules(value):
        if _is_brought(module, brought):
            continue
        there, here = found.libraries.get(module), value.libraries.get(module, "")
        if there is None:
            raise InvalidRequest(
                f"{name} needs {module} on the machine, which does not have it.",
                f"Add {_distribution(module)} to the job's requirements.",
            )
        if here and there and _series(here) != _series(there):
            raise InvalidRequest(
                f"{name} is a {kind} and travels as cloudpickle: {module} {here} here, {there} there.",
                f"Add {_distribution(module)}=={here.partition('+')[0]} to the job's requirements, or send plain data.",
            )


def _modules(value: PackedValue) -> list[str]:
    return [*formats.libraries_of(value.stored.format), *value.libraries]


def _series(version: str) -> tuple[str, ...]:
    """Return the part of a version that has to agree: 1.7 is 1; before 1.0, 0.21.3 is 0.21 (semver.org, 4)."""
    parts = version.split(".")
    return tuple(parts[:2]) if parts[0] == "0" else tuple(parts[:1])


def _distribution(module: str) -> str:
    return next(iter(metadata.packages_distributions().get(module, ())), module)


def _is_brought(module: str, brought: Collection[str]) -> bool:
    if not brought:
        return False
    return _plain(module) in brought or _plain(_distribution(module)) in brought


def _plain(name: str) -> str:
    """Return a distribution's name as all its spellings are written alike (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_names(requirements: Iterable[str]) -> frozenset[str]:
    """Return the distributions that lines of a requirements file, or of a PEP 723 block, name."""
    found = (_NAME.match(line) for line in requirements)
    return frozenset(_plain(match[1]) for match in found if match)


def probe_script(modules: Sequence[str]) -> str:
    """Return a shell script that prints what `parse_probe` reads: the Python that scripts get, and its libraries.

    It takes the interpreter that the runner would take (`runner.environment.machine_python`).
    """
    script = _PROBE.replace("LIBRARY_VERSION", inspect.getsource(formats.library_version))
    return script.replace("MODULES", repr(list(modules)))


def parse_probe(output: str) -> MachinePython:
    """Read what the probe has printed.

    Raises
    ------
    InstanceNotReady
        It is something else.
    """
    try:
        told = json.loads(output.strip().splitlines()[-1])
        return MachinePython(told["python"], dict(told["libraries"]))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InstanceNotReady(
            "The machine did not say which Python it has.", "It needs python3; see what it prints: python3 --version"
        ) from error
