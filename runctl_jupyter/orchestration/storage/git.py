"""What git says of a project: commit, branch, remote, and what differs from the commit.

It stands beside a launch and must never stop one: no git, no repository, one that is broken, or a git that
does not answer in time all mean that less is known. The program is asked, because its index, filters and worktrees
are its own business.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

_LIMIT_S = 5.0
_MOST_BYTES = 10_000_000
"""Of a difference that is kept; what is larger is no longer a change to code."""
_LISTING_BYTES = 64 * 1024 * 1024
_LISTED = 1000
"""Names in the preamble of a difference."""
_ARGUMENT_BYTES = 64 * 1024
"""Paths given to one git at once: a command line has an end."""

_SECRET_FILES = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", ".pypirc", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*",
    "id_ecdsa*", "id_ed25519*", "credentials", "credentials.*", "secrets.*",
)  # fmt: skip
"""Names of files that are made to hold secrets: what changed in them is not kept, even where they travel."""

# Set inside a git hook, they would lead to another repository, or to a program that prints something else.
_MISLEADING = frozenset(
    {
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX",
        "GIT_NAMESPACE", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS",
    }
)  # fmt: skip

# Without locks a launch never makes the user's own git fail; nothing is fetched and nobody is asked.
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

_DIFF = ("diff", "HEAD", "--no-renames", "--ignore-submodules=dirty", "--no-ext-diff", "--no-color")
_NAMES = ("--raw", "-z", "--relative")
# Paths in a patch are the repository's, as `git apply` takes them in any folder of it.
_PATCH = ("--binary", "--full-index", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass(frozen=True)
class GitState:
    """Where a project stands in its history."""

    commit: str
    branch: str | None
    """None when no branch is checked out."""
    remote: str | None
    """Address without credentials: of the branch's remote, else ``origin``, else the first."""
    difference: bytes | None
    """What differs from the commit: names, then a patch that `git apply` takes; or why there is none. None when
    nothing differs."""


def git_state(
    root: Path, travelling: Collection[str], *, limit_s: float = _LIMIT_S, most_bytes: int = _MOST_BYTES
) -> GitState | None:
    """Return what git says of the project in `root`, or None when it says nothing of use.

    Parameters
    ----------
    travelling
        Files that travel with a job, relative to `root`: others may hold what should stay here, and no word of
        them is kept.
    limit_s
        Seconds in all.
    most_bytes
        A larger difference is left out and says so.
    """
    git = _Git(root, limit_s)
    try:
        # Fails where there is no commit yet: then there is nothing to differ from.
        commit, branch = git.ask("rev-parse", "HEAD", "--abbrev-ref", "HEAD").split("\n")[:2]
    except _NoAnswerError:
        return None
    try:
        remote = _remote(git.ask("config", "-z", "--get-regexp", r"^(remote\..*\.url|branch\..*\.remote)$"), branch)
    except _NoAnswerError:
        remote = None  # `git config` that finds nothing fails too
    try:
        difference = _difference(git, travelling, most_bytes)
    except _NoAnswerError as error:
        difference = f"# runctl: what differs from the commit is not kept: {error}.\n".encode()
    return GitState(commit, None if branch == "HEAD" else branch, remote, difference)


def without_credentials(url: str) -> str | None:
    """Return a remote's address without user, password and query; None when it is not certain what is in it."""
    if "://" not in url:
        # A path, or host:path as ssh takes it; a helper's address (ext::…) can be any command.
        return None if "::" in url else url
    match = re.fullmatch(r"((?:[\w-]+::)?([\w+.-]+)://)(?:([^/]*)@)?([^/@?#]*)([^?#]*).*", url, re.DOTALL)
    if match is None:
        return None
    start, scheme, user, host, path = match.groups()
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]*)(:\d+)?", host):
        return None  # a password with a slash in it looks like a host and a path
    # The name of an ssh account is part of the address; before https it may be a token.
    account = f"{user}@" if scheme == "ssh" and user and ":" not in user else ""
    return start + account + host + path


class _NoAnswerError(Exception):
    """Git did not do what it was asked; the message says why."""


class _Git:
    """The git program in one folder, with one time limit for all that it is asked."""

    def __init__(self, root: Path, limit_s: float) -> None:
        self._root, self._limit_s = root, limit_s
        self._deadline = time.monotonic() + limit_s
        self._env = {name: value for name, value in os.environ.items() if name not in _MISLEADING} | _QUIET

    def ask(self, *arguments: str) -> str:
        """Return what git prints, as text."""
        return os.fsdecode(self.run(*arguments, most_bytes=_LISTING_BYTES))

    def run(self, *arguments: str, most_bytes: int) -> bytes:
        """Return what git prints; more than `most_bytes` is no answer."""
        command = ["git", "--literal-pathspecs", *arguments]
        try:
            process = subprocess.Popen(
                command, cwd=self._root, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise _NoAnswerError(f"git cannot be started ({error.strerror})") from error
        with process:
            try:
                out = self._read(cast("IO[bytes]", process.stdout), most_bytes)
                status = process.wait(max(self._deadline - time.monotonic(), 0.1))
            except BaseException as error:
                # With its children: a filter that hangs would keep the pipe open.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise self._too_late() from error
                raise
        if status != 0:
            raise _NoAnswerError(f"git {arguments[0]} failed with exit code {status}")
        return out

    def _read(self, pipe: IO[bytes], most_bytes: int) -> bytes:
        out = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(max(self._deadline - time.monotonic(), 0)):
                    raise self._too_late()
                piece = os.read(pipe.fileno(), 1 << 16)
                if not piece:
                    return bytes(out)
                out += piece
                if len(out) > most_bytes:
                    raise _too_much(most_bytes)

    def _too_late(self) -> _NoAnswerError:
        return _NoAnswerError(f"git did not answer within {self._limit_s:g} s")


def _too_much(most_bytes: int) -> _NoAnswerError:
    return _NoAnswerError(f"it has more than {most_bytes / 1e6:g} MB")


def _remote(settings: str, branch: str) -> str | None:
    """Choose a remote from ``remote.NAME.url`` and ``branch.NAME.remote`` as `git config -z` prints them."""
    known = dict(entry.partition("\n")[::2] for entry in settings.split("\0") if entry)
    urls = {key[len("remote.") : -len(".url")]: url for key, url in known.items() if key.startswith("remote.")}
    for name in (known.get(f"branch.{branch}.remote"), "origin", *urls):
        if name in urls:
            return without_credentials(urls[name])
    return None


def _difference(git: _Git, travelling: Collection[str], most_bytes: int) -> bytes | None:
    tracked = set(git.ask("ls-files", "-z").split("\0"))
    changed = _changed(git.ask(*_DIFF, *_NAMES))
    present = frozenset(travelling)
    patched, names = [], []
    for path, (what, mode) in changed.items():
        if mode == "160000":
            names.append(f"another commit of the submodule: {_one_line(path)}")
        elif what == "D":
            # By name: the commit has its bytes, and the file may be one that never travelled.
            names.append(f"deleted: {_one_line(path)}")
        elif path in present and _secret(path):
            names.append(f"changed, not kept: {_one_line(path)}")
        elif path in present:
            patched.append(path)
    # What lies in a submodule is not tracked here, but its folder is.
    untracked = [path for path in sorted(present - tracked) if not tracked.intersection(_parents(path))]
    names += [f"untracked: {_one_line(path)}" for path in untracked]
    if not names and not patched:
        return None
    preamble = "# runctl: what differed from the commit at launch. The code tree of the job has every file's bytes.\n"
    preamble += "".join(f"# {name}\n" for name in names[:_LISTED])
    if len(names) > _LISTED:
        preamble += f"# and {len(names) - _LISTED:,} more\n"
    difference = preamble.encode("utf-8", "surrogateescape")
    for some in _portions(patched):
        difference += git.run(*_DIFF, *_PATCH, "--", *some, most_bytes=most_bytes)
        if len(difference) > most_bytes:
            raise _too_much(most_bytes)
    return difference


def _changed(raw: str) -> dict[str, tuple[str, str]]:
    """Read ``diff --raw -z``: for each path, the kind of change and the old mode, or the new one of what is new."""
    found = {}
    parts = raw.split("\0")
    for facts, path in zip(parts[::2], parts[1::2], strict=False):
        old, new, _, _, what = facts.lstrip(":").split()
        found[path] = (what[0], new if old == "000000" else old)
    return found


def _portions(paths: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for path in paths:
        if some and size + len(path) > _ARGUMENT_BYTES:
            yield some
            some, size = [], 0
        some.append(path)
        size += len(path) * 4 + 1
    if some:
        yield some


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _secret(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRET_FILES)


def _one_line(path: str) -> str:
    return path if path.isprintable() else json.dumps(path)
