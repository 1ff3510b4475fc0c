"""Programs of the runner that travel to a machine as text of a shell script: where nothing can be fetched first."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Sequence
from functools import cache
from importlib import resources

_LINE = 100
_MAIN = """\
import sys

from runctl_jupyter.runner.{module} import main

sys.exit(main())
"""

DECODE = (
    'python3 -c \'import base64, sys; sys.stdout.buffer.write(base64.b85decode(sys.stdin.read().replace("\\n", "")))\''
)
"""Shell command that turns the text on its standard input into the program."""


@cache
def as_text(module: str, *with_modules: str) -> str:
    """Return a program as lines of base 85: a zip that Python runs as it is.

    Parameters
    ----------
    module
        Of the runner; its `main` is run.
    with_modules
        What it imports of the runner.
    """
    folder = resources.files("runctl_jupyter").joinpath("runner")
    names: Sequence[str] = ("__init__", module, *with_modules)
    sources = {f"runctl_jupyter/runner/{name}.py": folder.joinpath(f"{name}.py").read_text() for name in names}
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        entries = {"__main__.py": _MAIN.format(module=module), "runctl_jupyter/__init__.py": "", **sources}
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    encoded = base64.b85encode(raw.getvalue()).decode()
    return "\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))
