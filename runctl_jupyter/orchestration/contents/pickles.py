"""Pickles, read and not run: what would be imported or called stays a name, but for what describes tensors.

Not `pickle.Unpickler` with a `find_class` that refuses: its objects still act in opcodes (``BUILD``, ``REDUCE``,
``SETITEMS``, hashes of nested tuples), and nothing bounds what it allocates. Here opcodes move values of `inert`,
and what they call is in `makers`, or refused.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pickletools import genops
from sys import getsizeof
from typing import Any, BinaryIO

from runctl_jupyter.orchestration.contents.bounds import damaged, short_text
from runctl_jupyter.orchestration.contents.inert import Malformed, Named, Refused, Storage, key
from runctl_jupyter.orchestration.contents.makers import build, call, storage

MOST_BYTES = 32 << 20
"""Of a pickle that stands alone, without the values of its tensors."""
_MOST_PIECE = 16 << 20
_MOST_OPCODES = 2_000_000
_MOST_MEMORY = 128 << 20
_MOST_BITS = 128
_MOST_NAME = 200
_ENTRY, _ITEM = 100, 8
"""Bytes that an entry of a dictionary and one of a list take."""

_PUSHED = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
        "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
        "BINUNICODE8", "FLOAT", "BINFLOAT",
    }
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NO_EFFECT = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})


class Pickles:
    """Reads pickles of one file, one after the other, within one bound of work and memory.

    Parameters
    ----------
    what
        The file, for people.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._opcodes, self._memory = _MOST_OPCODES, _MOST_MEMORY
        self.refused: dict[str, None] = {}
        """Names of classes and functions that were to be called and were not, in their order."""
        self.storages: dict[str, Storage] = {}
        """Storages by their keys, as they were first named."""

    def read(self, stream: BinaryIO) -> Any:
        """Return what a pickle holds; the stream stands behind it then.

        Raises
        ------
        CheckpointUnreadable
            It is not a pickle, is cut short, or would cost more than any description of tensors.
        """
        machine = _Machine(self)
        try:
            for opcode, arg, _ in genops(stream):
                machine.step(opcode.name, arg)
            return machine.stack.pop()
        except (Malformed, ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
            told = "it names what it does not hold" if isinstance(error, LookupError) else short_text(str(error), 150)
            raise damaged(f"The pickle in {self._what} cannot be read: {' '.join(told.split())}.") from error

    def charge(self, size: int) -> None:
        """Count one opcode and what it takes of memory."""
        self._opcodes -= 1
        self._memory -= size
        if self._opcodes < 0 or self._memory < 0:
            raise damaged(f"The pickle in {self._what} is made of more parts than any checkpoint's.")


def bounded(raw: io.RawIOBase) -> BinaryIO:
    """Return a stream for `Pickles.read` that makes no room for what a pickle only claims to hold."""
    return _Bounded(raw, 256 << 10)


class _Bounded(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_PIECE:
            raise Malformed("a piece of it is longer than any")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(_MOST_PIECE)


class _Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self, owner: Pickles) -> None:
        self._owner, self._charge = owner, owner.charge
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            name.removeprefix("_do_").upper(): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }

    def step(self, name: str, arg: Any) -> None:
        """Carry out an opcode."""
        if name in _PUSHED:
            self._charge(_ITEM + getsizeof(arg))
            if type(arg) is int and arg.bit_length() > _MOST_BITS:
                arg = f"an integer of {arg.bit_length():,} bits"
            self.stack.append(bytes(arg) if isinstance(arg, bytearray) else arg)
        elif name in _CONSTANTS:
            self._charge(_ITEM)
            self.stack.append(_CONSTANTS[name])
        elif name in _NO_EFFECT:
            self._charge(0)
        elif name in self._steps:
            self._charge(_ITEM)
            self._steps[name](arg)
        else:
            raise Malformed(f"it needs {name}, which no file has")

    def _marked(self) -> list[Any]:
        marked, self.stack = self.stack, self._below.pop()
        return marked

    def _do_mark(self, _: Any) -> None:
        self._charge(_ENTRY)
        self._below.append(self.stack)
        self.stack = []

    def _do_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._marked()

    def _do_pop_mark(self, _: Any) -> None:
        self._marked()

    def _do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    # The memo.

    def _do_put(self, index: int) -> None:
        if not 0 <= index < 1 << 32:
            raise Malformed("it keeps something under no number")  # and hashes of small numbers do not collide
        self._charge(_ENTRY)
        self._memo[index] = self.stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _: Any) -> None:
        self._do_put(len(self._memo))

    def _do_get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    _do_binget = _do_long_binget = _do_get

    # Containers.

    def _do_empty_list(self, _: Any) -> None:
        self._charge(getsizeof([]))
        self.stack.append([])

    def _do_empty_set(self, _: Any) -> None:
        self._do_empty_list(_)

    def _do_empty_dict(self, _: Any) -> None:
        self._charge(_ENTRY)
        self.stack.append({})

    def _do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _do_list(self, _: Any) -> None:
        self._charge(getsizeof([]))
        parts = self._marked()
        self.stack.append(parts)

    _do_frozenset = _do_list

    def _do_tuple(self, _: Any) -> None:
        self._push_tuple(self._marked())

    def _push_tuple(self, parts: list[Any]) -> None:
        made = tuple(parts)
        self._charge(getsizeof(made))
        self.stack.append(made)

    def _do_tuple1(self, _: Any) -> None:
        self._push_tuple([self.stack.pop()])

    def _do_tuple2(self, _: Any) -> None:
        second, first = self.stack.pop(), self.stack.pop()
        self._push_tuple([first, second])

    def _do_tuple3(self, _: Any) -> None:
        third, second, first = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._push_tuple([first, second, third])

    def _do_dict(self, _: Any) -> None:
        parts = self._marked()
        self.stack.append({})
        self._set_items(parts)

    def _do_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _do_appends(self, _: Any) -> None:
        self._extend(self._marked())

    _do_additems = _do_appends

    def _extend(self, parts: list[Any]) -> None:
        self._charge(_ITEM * len(parts))
        made = self.stack[-1]
        found = made.elements if isinstance(made, Refused) else made
        if not isinstance(found, list):
            raise Malformed("it adds elements to what is no list")
        found.extend(parts)

    def _do_setitem(self, _: Any) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self._set_items([name, value])

    def _do_setitems(self, _: Any) -> None:
        self._set_items(self._marked())

    def _set_items(self, parts: list[Any]) -> None:
        self._charge(_ENTRY * len(parts) // 2)
        made = self.stack[-1]
        found = made.items if isinstance(made, Refused) else made
        if not isinstance(found, dict) or len(parts) % 2:
            raise Malformed("it sets items of what is no dictionary")
        for name, value in zip(parts[::2], parts[1::2], strict=True):
            found[key(name)] = value

    # Names, and what would be calls.

    def _do_global(self, arg: str) -> None:
        module, _, name = arg.partition(" ")
        self._push_name(module, name)

    def _do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Malformed("it names a class by what is no name")
        self._charge(2 * _ENTRY)
        self.stack.append(Named(short_text(module, _MOST_NAME), short_text(name, _MOST_NAME)))

    def _do_ext1(self, number: int) -> None:
        self._push_name("copyreg", f"extension {number}")

    _do_ext2 = _do_ext4 = _do_ext1

    def _do_reduce(self, _: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self._push_call(function, args)

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: Any) -> None:
        keywords, args, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._push_call(kind, args)
        if isinstance(self.stack[-1], Refused) and isinstance(keywords, dict):
            self.stack[-1].state = keywords

    def _do_inst(self, arg: str) -> None:
        args = tuple(self._marked())
        self._do_global(arg)
        self._push_call(self.stack.pop(), args)

    def _do_obj(self, _: Any) -> None:
        kind, *args = self._marked()
        self._push_call(kind, tuple(args))

    def _push_call(self, function: Any, args: Any) -> None:
        if not isinstance(args, tuple):
            raise Malformed("it calls something with what are no arguments")
        if not isinstance(function, Named):
            function = Named("pickle", "what it has made itself")
        made = call(function, args)
        if isinstance(made, Refused):
            self._owner.refused.setdefault(str(function))
        self._charge(_made_size(made))
        self.stack.append(made)

    def _do_build(self, _: Any) -> None:
        state = self.stack.pop()
        build(self.stack[-1], state)

    def _do_binpersid(self, _: Any) -> None:
        pid = self.stack.pop()
        found = storage(pid)
        if found is None and isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            found = pid[1]  # PyTorch before 1.6 kept the source of a module's class beside it
        if isinstance(found, Storage):
            self._owner.storages.setdefault(found.key, found)
        self._charge(3 * _ENTRY)
        self.stack.append(found if found is not None else Refused(Named("pickle", "persistent id"), (pid,)))

    def _do_persid(self, text: str) -> None:
        self.stack.append(Refused(Named("pickle", "persistent id"), (text,)))


def _made_size(made: Any) -> int:
    return getsizeof(made) + (4 * _ENTRY if isinstance(made, Refused) else _ENTRY)
