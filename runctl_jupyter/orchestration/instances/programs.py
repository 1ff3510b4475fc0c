"""Programs of the runner that travel to a machine as text of a shell script: where nothing can be fetched first."""

from __future__ import annotations

import ast
import base64
import io
import tokenize
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
    sources = {f"runctl_jupyter/runner/{name}.py": bare(folder.joinpath(f"{name}.py").read_text()) for name in names}
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        entries = {"__main__.py": _MAIN.format(module=module), "runctl_jupyter/__init__.py": "", **sources}
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    encoded = base64.b85encode(raw.getvalue()).decode()
    return "\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))


def bare(source: str) -> str:
    """Return a module without docstrings and comments, which are half of it; all else stays as it is written."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            # An empty string stands in its place: it may be all that a body has.
            lines[node.lineno - 1] = " " * node.col_offset + '""\n'
            lines[node.lineno : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno)
    return "".join(lines)
