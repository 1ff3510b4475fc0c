"""Runs a script in its own Python as `python` would, with variables brought in before and taken out after.

::

    python -u cell.py --script PATH --outputs DIR [--inputs DIR] [--names a,b] -- ARGUMENTS

``DIR/index.json`` of the inputs says where their files lie. The outputs' folder gets a file for each of `--names`, an
``index.json``, and ``exception.json`` (a `RemoteFailure`) when an exception ends the script.

The script waits for whatever is imported here, so nothing is that Python has not loaded by itself or the script needs.
"""

# pathlib costs as much time as this whole program.
# ruff: noqa: PTH100, PTH105, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` is not loaded
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, ModuleType, TracebackType
    from typing import Any, Optional

INDEX, FAILURE = "index.json", "exception.json"
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE


def main(argv: list[str]) -> None:
    """Run the script and leave as it does: by its end, its exception or its exit code."""
    split = argv.index("--")
    options = dict(zip(argv[:split:2], argv[1:split:2]))
    given, outputs = options["--script"], os.path.abspath(options["--outputs"])
    names = [name for name in options.get("--names", "").split(",") if name]
    script = os.path.abspath(given)
    sys.argv[:] = [given, *argv[split + 1 :]]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    module = sys.modules["__main__"] = _main_module(script)
    process = os.getpid()
    try:
        values = _values() if names or "--inputs" in options else None
        if "--inputs" in options:
            module.__dict__.update(_load(values, options["--inputs"]))
        try:
            _execute(script, module)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
            if os.getpid() == process:
                _dump(values, module, names, outputs)
            raise
        if os.getpid() == process:
            _dump(values, module, names, outputs)
    except SystemExit:
        raise
    except BaseException as error:
        _show_without_us(script)
        if os.getpid() == process:
            _report(error, script, outputs)
        raise


def _main_module(script: str) -> ModuleType:
    """Return an empty ``__main__`` as Python makes it for a script."""
    module = type(sys)("__main__")
    found = {"__file__": script, "__loader__": type(globals()["__loader__"])("__main__", script)}
    module.__dict__.update(found, __builtins__=sys.modules["builtins"])
    for name in ("__annotations__", "__cached__"):
        if name in globals():
            module.__dict__[name] = {} if name == "__annotations__" else None
    return module


# The script


def _execute(script: str, module: ModuleType) -> None:
    with open(script, "rb") as stream:
        source = stream.read()
    code = _compiled(source, script, module)
    if code.co_flags & _CO_COROUTINE:
        import asyncio

        asyncio.run(eval(code, module.__dict__))  # noqa: S307 - the script
    else:
        exec(code, module.__dict__)  # noqa: S102 - the script


def _compiled(source: bytes, script: str, module: ModuleType) -> CodeType:
    """Compile the script, as a notebook would where Python would not: with ``await`` and ``%magics``."""
    try:
        code: CodeType = compile(source, script, "exec", dont_inherit=True)
    except SyntaxError as error:
        refused = error
    else:
        return code
    code_or_none = _awaiting(source, script)
    if code_or_none is None and _is_notebook_syntax(source, refused):
        code_or_none = _awaiting(_transformed(source, module, refused), script)
    if code_or_none is None:
        raise refused
    return code_or_none


def _awaiting(source: bytes, script: str) -> Optional[CodeType]:
    from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT

    try:
        code: CodeType = compile(source, script, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError:
        return None
    return code


def _is_notebook_syntax(source: bytes, refused: SyntaxError) -> bool:
    """Whether Python stumbled over a line for IPython: ``%magic``, ``!command``, ``name = !command``, ``name?``."""
    line = _line(source, refused.lineno) or "-"
    _, assigned, right = line.partition("=")
    return line[:1] in ("%", "!", "?") or line[-1:] == "?" or (bool(assigned) and right.strip()[:1] in ("%", "!"))


def _transformed(source: bytes, module: ModuleType, refused: SyntaxError) -> bytes:
    from importlib import import_module

    try:
        # The script's own, if it has one; nothing the runner needs.
        transformer = import_module("IPython.core.inputtransformer2").TransformerManager()
        shells = import_module("IPython.core.interactiveshell").InteractiveShell
        config = import_module("traitlets.config").Config({"HistoryManager": {"enabled": False}})
    except ImportError:
        refused.msg = f"{refused.msg} (for IPython, which the machine does not have: add ipython to the requirements)"
        raise refused from None
    # Whoever calls get_ipython() in the script finds this one; nothing of a job belongs in a history.
    shell = shells.instance(config=config, user_module=module, user_ns=module.__dict__)
    for name in ("exit", "quit"):
        shell.user_ns.pop(name, None)  # those end a shell; Python's own end the script
    text: str = transformer.transform_cell(source.decode())
    return text.encode()


# Variables


def _values() -> Any:
    """Load `run_record.values` without its packages, which would stay importable, and visible, to the script."""
    from importlib import import_module

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    stubs = {"runctl_jupyter": package, "runctl_jupyter.run_record": os.path.join(package, "run_record")}
    for name, place in stubs.items():
        stub = type(sys)(name)
        stub.__path__ = [place]
        sys.modules[name] = stub
    try:
        return import_module("runctl_jupyter.run_record.values")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "runctl_jupyter"]:
            del sys.modules[name]


def _load(values: Any, folder: str) -> dict[str, Any]:
    import json
    from pathlib import Path

    with open(os.path.join(folder, INDEX), encoding="utf-8") as stream:
        index = json.load(stream)
    loaded = {}
    for each in index:
        try:
            loaded[each["name"]] = values.load(each["format"], Path(each["file"]))
        except values.NotReadable as error:
            what = f"the variable {each['name']} ({each['type']}) cannot be read on this machine: {error}"
            raise RuntimeError(what) from None
    return loaded


def _dump(values: Any, module: ModuleType, names: Iterable[str], folder: str) -> None:
    if values is None:
        return
    from pathlib import Path

    rows, problems = [], {}
    for name in names:
        if name not in module.__dict__:
            problems[name] = "the cell does not define it"
            continue
        file = Path(folder, name + ".value")
        try:
            written = values.dump(module.__dict__[name], file)
        except values.NotWritable as error:
            problems[name] = f"it cannot be written: {error}"
        except OSError as error:
            problems[name] = f"it cannot be written: {error.strerror or error}"
        else:
            rows.append({"name": name, "format": written.format, "type": written.type, "file": str(file)})
    _write_json(os.path.join(folder, INDEX), {"values": rows, "problems": problems})


def _write_json(path: str, document: Any) -> None:
    import json

    with open(path + ".part", "w", encoding="utf-8") as stream:
        json.dump(document, stream, ensure_ascii=False)
    os.replace(path + ".part", path)


# Exceptions


def _show_without_us(script: str) -> None:
    """Let Python show the exception that is about to leave this program without the frames of this program."""
    shown_by = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        own = _without_us(trace, script)
        shown_by(kind, error.with_traceback(own), own)

    sys.excepthook = show


def _without_us(trace: Optional[TracebackType], script: str) -> Optional[TracebackType]:
    """Return the traceback from the script's first frame on, or from the first that is not of this file."""
    at = trace
    while at is not None:
        if at.tb_frame.f_code.co_filename == script:
            return at
        at = at.tb_next
    while trace is not None and trace.tb_frame.f_code.co_filename == _without_us.__code__.co_filename:
        trace = trace.tb_next
    return trace


def _report(error: BaseException, script: str, folder: str) -> None:
    import traceback

    own = _without_us(error.__traceback__, script)
    line, at = None, own
    while at is not None:
        if at.tb_frame.f_code.co_filename == script:
            line = at.tb_lineno
        at = at.tb_next
    if isinstance(error, SyntaxError) and error.filename == script:
        line = error.lineno
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the script's own class; Python shows such exceptions so as well
        message = "<exception str() failed>"
    document = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": message,
        "traceback": "".join(traceback.format_exception(type(error), error, own)),
        "line": line,
        "source": "",
    }
    try:
        with open(script, "rb") as stream:
            document["source"] = _line(stream.read(), line)
        _write_json(os.path.join(folder, FAILURE), document)
    except (OSError, ValueError) as problem:
        # The exception is the news: it is shown whatever happens to its record.
        sys.stderr.write(f"runctl: the exception could not be recorded: {problem}\n")


def _line(source: bytes, number: Optional[int]) -> str:
    lines = source.splitlines()
    if number is None or not 0 < number <= len(lines):
        return ""
    return lines[number - 1].decode("utf-8", "replace").strip()


if __name__ == "__main__":
    main(sys.argv[1:])
