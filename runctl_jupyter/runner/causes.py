"""What the end of a script means: its exit code, the kernel's counters and the end of its output, in one sentence."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Optional

from runctl_jupyter.run_record import Cause

_MOST_MESSAGE = 300
_LAST_LINES = 20
"""An uncaught exception is the last thing a program says, but for what its libraries say at exit."""
_LAST_WORDS = 5
"""Lines in which a program without tracebacks says why it ends."""

_TERMINAL_CODES = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~]            # colours, cursor
      | \x1b\][^\x07\x1b]*(?:\x07|\x1b\\)  # titles, links
      | \x1b[@-Z\\-_]""",
    re.VERBOSE,
)
_LINE_END = re.compile(r"[\r\n]")
_PREFIX = re.compile(r"(?:\[rank\d+\]: ?|\[\d+\]:|\s*\| )")
"""What torch puts before the lines of a rank, its launcher before those of a process, Python before a group's."""
_NOISE = re.compile(r"\s*$|runctl: |wandb: |\[W\d+ |\S+: \w*Warning: ")
_TRACEBACK = re.compile(r"\s*(?:\+ )?(?:Exception Group )?Traceback \(most recent call last\):\s*$")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:?$)")
_ERROR = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Za-z_]\w*(?:Error|Exception|Interrupt|ExceptionGroup)(?=:|\s|$).*")
_REPORTERS = ("ChildFailedError", "CalledProcessError", "ProcessExitedException")
"""Raised by launchers; the error of the program they launched stands above."""

_MODULE = re.compile(r"(?:ModuleNotFoundError|\S*python\S*): No module named '?([\w.]+)'?")
_OTHER_NAMES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages that are not called as their modules are."""
_LONG_MESSAGE = re.compile(r"\S*(?:ResourceExhausted|XlaRuntime|JaxRuntime)Error")
"""Of XLA: what was exhausted stands some lines below."""
_GPU_MEMORY = re.compile(
    r"""(?:CUDA|HIP)\ out\ of\ memory | (?:CUDA|HIP)\ error:\ out\ of\ memory | CUDA_ERROR_OUT_OF_MEMORY
      | cudaErrorMemoryAllocation | CU(?:DNN|BLAS)_STATUS_ALLOC_FAILED | \bOutOfMemoryError:
      | RESOURCE_EXHAUSTED.*(?:out\ of\ memory|\bOOM\b|allocat)
      | OOM\ when\ allocating\ tensor(?!.*device:CPU)""",
    re.VERBOSE | re.IGNORECASE,
)
_HOST_MEMORY = re.compile(
    r"""(?:\S*\.)?_?(?:Array)?MemoryError\b | .*\[Errno\ 12\] | .*std::bad_alloc
      | .*DefaultCPUAllocator: | .*OOM\ when\ allocating\ tensor""",
    re.VERBOSE,
)
_WORKER_KILLED = re.compile(
    r"killed by signal: Killed|\bSIGKILL\b|[Ss]ignal 9\b|exit ?code\s*:? ?-9\b|BrokenProcessPool|^Killed$",
    re.MULTILINE,
)
"""A process that the script had started: torch's DataLoader, torchrun, pools, shells."""
_NOT_FOUND = re.compile(r"(?:not found|No such file or directory)\s*$")
_NOT_EXECUTABLE = re.compile(r"(?:[Pp]ermission denied|Exec format error|cannot execute.*|Is a directory)\s*$")
_BY_SIGNAL = frozenset({"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGINT", "SIGKILL", "SIGSEGV", "SIGTERM"})


@dataclass(frozen=True)
class _Ending:
    """The end of the output."""

    error: str
    """The exception that ended it, or another line that says why; empty when there is none."""
    context: str
    """Its message in full and what follows."""
    words: list[str]
    """The last lines."""


def cause_of_exit(return_code: int, tail: bytes, *, out_of_memory: bool) -> Optional[Cause]:
    """Return why a script failed by itself, None if it did not.

    Parameters
    ----------
    return_code
        As `subprocess.Popen.returncode`: negative for a signal.
    tail
        The end of the log: holds the last traceback. What a script has printed never makes it fail.
    out_of_memory
        Whether the kernel is known to have killed processes for memory while it ran.
    """
    if return_code == 0:
        return None
    ending = _read(tail)
    if return_code < 0:
        return _of_signal(-return_code, ending, out_of_memory=out_of_memory)
    named = _of_error(ending)
    if named is not None:
        return named
    number = return_code - 128
    if out_of_memory and number == signal.SIGKILL:
        return Cause("out-of-memory", _said("the kernel killed a program of the script for lack of memory", ""), number)
    if out_of_memory and _WORKER_KILLED.search(ending.context or "\n".join(ending.words)):
        killed = "the kernel killed a process of the script for lack of memory, and the script failed"
        return Cause("out-of-memory", _said(killed, ending.error))
    return Cause("exit", _said(f"the script ended with exit code {return_code}", _meaning(return_code, ending)))


def _of_signal(number: int, ending: _Ending, *, out_of_memory: bool) -> Cause:
    if number == signal.SIGKILL and out_of_memory:
        return Cause("out-of-memory", "the kernel killed the script (SIGKILL) for lack of memory", number)
    if number == signal.SIGABRT:  # C++ ends so when nobody catches what it has thrown
        named = _of_error(ending)
        if named is not None and named.kind != "missing-module":
            return Cause(named.kind, named.message, number)
    return Cause("signal", f"the script was ended by {_name(number) or f'signal {number}'}", number)


def _of_error(ending: _Ending) -> Optional[Cause]:
    """Return the cause that the script's own last words name."""
    module = _MODULE.match(ending.error)
    if module is not None:
        name = module.group(1)
        package = _OTHER_NAMES.get(name.partition(".")[0], name.partition(".")[0])
        advice = f"list {package} in the requirements file or in a PEP 723 block, or put the module into the project"
        return Cause("missing-module", _said(f"the script needs module {name}: {advice}", ending.error, last=True))
    said = ending.context if _LONG_MESSAGE.match(ending.error) else ending.error
    if _GPU_MEMORY.search(said):
        return Cause("cuda-out-of-memory", _said("the GPU ran out of memory", ending.error))
    if any(map(_HOST_MEMORY.match, said.splitlines())):
        return Cause("out-of-memory", _said("the script ran out of memory", ending.error))
    return None


def _meaning(code: int, ending: _Ending) -> str:
    if ending.error:
        return ending.error
    if code in (126, 127):
        sign, what = (_NOT_FOUND, "was not found") if code == 127 else (_NOT_EXECUTABLE, "cannot be executed")
        said = next((line for line in reversed(ending.words) if sign.search(line)), "")
        return _said(f"a command {what}", said) if said else ""
    name = _name(code - 128)
    return f"so a shell says that {name} ended a program" if name in _BY_SIGNAL else ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _said(what: str, said: str, *, last: bool = False) -> str:
    """Return one sentence; what was said may be long and hold anything."""
    clean = "".join(letter if letter.isprintable() else " " for letter in said).strip()[:_MOST_MESSAGE]
    if not clean:
        return what
    return f"{what} ({clean})" if last else f"{what}: {clean}"


def _read(tail: bytes) -> _Ending:
    text = _TERMINAL_CODES.sub("", tail.decode("utf-8", "replace"))
    lines = []
    for line in _LINE_END.split(text):
        prefix = _PREFIX.match(line)
        bare = line[prefix.end() :] if prefix else line
        if not _NOISE.match(bare):
            lines.append(bare.rstrip())
    words = lines[-_LAST_WORDS:]
    errors = _errors(lines)
    if errors and errors[-1] >= len(lines) - _LAST_LINES:
        at = errors[-1]
    else:
        reports = [at for at in errors if _reports(lines[at])]
        # A launcher's report is long, one paragraph for each process that failed.
        at = reports[-1] if reports and reports[-1] == errors[-1] else -1
    if at >= 0 and _reports(lines[at]):
        at = next((above for above in reversed(errors) if not _reports(lines[above])), at)
    if at >= 0:
        return _Ending(lines[at], "\n".join(lines[at:]), words)
    telling = next((line for line in reversed(words) if _tells(line)), "")
    return _Ending(telling, telling, words)


def _tells(line: str) -> bool:
    return any(sign(line) for sign in (_GPU_MEMORY.search, _HOST_MEMORY.match, _MODULE.match))


def _reports(line: str) -> bool:
    return line.partition(":")[0].endswith(_REPORTERS)


def _errors(lines: list[str]) -> list[int]:
    """Return where exceptions stand: the line that ends a traceback, or one that looks like it."""
    found = []
    in_traceback = False
    for at, line in enumerate(lines):
        if _TRACEBACK.match(line):
            in_traceback = True
        elif (in_traceback and not line[0].isspace() and _RAISED.match(line)) or _ERROR.match(line):
            in_traceback = False
            found.append(at)
    return found
