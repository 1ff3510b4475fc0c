"""Values of tensors as numpy arrays: one, all, or piece by piece in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.model import ITEM_BYTES
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

if TYPE_CHECKING:
    import numpy as np

    from runctl_jupyter.orchestration.contents.model import Place, Tensor

PIECE_BYTES = 8 << 20
_PARALLEL = 8


def numpy_type(name: str) -> np.dtype[Any]:
    """Return numpy's type of a name of `ITEM_BYTES`; those it lacks are of ``ml_dtypes``."""
    import ml_dtypes
    import numpy as np

    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name).newbyteorder("<")


def place_of(tensor: Tensor) -> Place:
    """Return where a tensor's values lie.

    Raises
    ------
    CheckpointUnreadable
        They cannot be read.
    """
    if tensor.place is None or tensor.dtype not in ITEM_BYTES:
        raise CheckpointUnreadable(
            f"The values of {tensor.name} ({tensor.dtype}) cannot be read.",
            "Download the checkpoint and load it with the library that wrote it.",
        )
    return tensor.place


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's values; of what lies in one piece in its file with one range read."""
    import numpy as np

    raw = place_of(tensor).read(0, tensor.elements)
    # A copy, in the machine's own order of bytes: bytes are read-only, and whoever loads weights changes them.
    kind = numpy_type(tensor.dtype)
    found = np.frombuffer(raw, kind).reshape(tensor.shape)
    return found.astype(kind.newbyteorder("="), copy=True)


def arrays_of(tensors: list[Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the values of many tensors, large ones read in several pieces at once."""
    import numpy as np

    made = {tensor.name: np.empty(tensor.shape, numpy_type(tensor.dtype).newbyteorder("=")) for tensor in tensors}

    def fill(piece: tuple[Tensor, int, int]) -> None:
        tensor, start, stop = piece
        raw = place_of(tensor).read(start, stop)
        made[tensor.name].reshape(-1)[start:stop] = np.frombuffer(raw, numpy_type(tensor.dtype))

    pieces = [(tensor, start, stop) for tensor in tensors for start, stop in _pieces(tensor)]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(fill, pieces):
            continue  # what a piece raises is raised here
    return made


def floats(tensor: Tensor, start: int, stop: int) -> np.ndarray[Any, Any]:
    """Return elements `start` to `stop` as 64-bit floats, or complex numbers of such."""
    import numpy as np

    found = np.frombuffer(place_of(tensor).read(start, stop), numpy_type(tensor.dtype))
    return found.astype(np.complex128 if found.dtype.kind == "c" else np.float64)


def _pieces(tensor: Tensor) -> Iterator[tuple[int, int]]:
    step = PIECE_BYTES // ITEM_BYTES.get(tensor.dtype, 1)
    for start in range(0, tensor.elements, step):
        yield start, min(start + step, tensor.elements)
