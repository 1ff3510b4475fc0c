"""Looking into checkpoints: what is in one, what two differ in, values in memory, files on this computer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runctl_jupyter.orchestration.checkpoints.arrays import array_of, arrays_of
from runctl_jupyter.orchestration.checkpoints.difference import CheckpointDiff, difference
from runctl_jupyter.orchestration.checkpoints.inside import CheckpointInfo, info_of, look_inside
from runctl_jupyter.orchestration.errors import CheckpointUnreadable, InvalidRequest
from runctl_jupyter.orchestration.model import Preview, Transfer
from runctl_jupyter.orchestration.storage.preview import tensors_preview
from runctl_jupyter.orchestration.storage.transfers import bring
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    import numpy as np

    from runctl_jupyter.orchestration.checkpoints.located import Located, Locator, Source
    from runctl_jupyter.orchestration.contents.model import Tensor
    from runctl_jupyter.orchestration.storage.crew import OnProgress


class Looking:
    """The part of ``rc.checkpoints`` that looks into one.

    A checkpoint is named as a person does it: ``s3://…`` (an object or a prefix), a path on this computer, ``JOB``
    for its newest, ``JOB/NAME``, or one of `list`.

    Parameters
    ----------
    locator
        Finds it.
    """

    def __init__(self, locator: Locator) -> None:
        self._locator = locator

    def info(self, source: Source) -> CheckpointInfo:
        """Return what a checkpoint holds: tensors, modules, step, optimizer, metadata.

        Reads its header or directory by ranges, some kB to MB of it; nothing is downloaded, unpickled or run.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound
            There is no such checkpoint.
        CheckpointUnreadable
            It is of no known format, cut short, damaged, or made to do harm.
        StorageUnavailable
            S3 refused or failed.
        """
        return info_of(look_inside(self._locator.locate(source)))

    def preview(self, source: Source) -> Preview:
        """Return what can be shown of a checkpoint in a few lines, as `Storage.preview` of an object.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound, CheckpointUnreadable, StorageUnavailable
            See `info`.
        """
        inside = look_inside(self._locator.locate(source))
        located = inside.located
        facts = [("size", size_text(located.size)), ("files", f"{len(located.files.sizes):,}")]
        return tensors_preview(located.uri, located.size, inside.contents, facts)

    def diff(
        self, a: Source, b: Source, *, values: bool = True, on_progress: OnProgress | None = None
    ) -> CheckpointDiff:
        """Compare two checkpoints, of whatever formats: structure, and the norm of each tensor's change.

        Parameters
        ----------
        values
            Whether values are read, piece by piece; else names, types and shapes only.
        on_progress
            Told how far it is, in bytes of both.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound, CheckpointUnreadable, StorageUnavailable
            See `info`.
        """
        left, right = (look_inside(self._locator.locate(source)) for source in (a, b))
        return difference(left, right, values=values, on_progress=on_progress)

    def tensor(self, source: Source, name: str) -> np.ndarray[Any, Any]:
        """Return one tensor's values; of a tensor that lies in one piece, with one range read.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound, CheckpointUnreadable, StorageUnavailable
            See `info`; also when it has no such tensor.
        """
        inside = look_inside(self._locator.locate(source))
        found = inside.tensors_by_name().get(name)
        if found is None:
            raise InvalidRequest(
                f"{inside.located.name} has no tensor {name!r}.", _closest(name, inside.contents.tensors)
            )
        return array_of(found)

    def load(
        self,
        source: Source,
        names: str | Sequence[str] = "*",
        *,
        part: Literal["model", "optimizer", "other"] = "model",
        framework: Literal["numpy", "torch"] = "numpy",
    ) -> dict[str, Any]:
        """Return tensors by their names, straight into memory: nothing is written to a disk, nothing unpickled.

        Parameters
        ----------
        names
            Names, or patterns such as ``encoder.*``.
        part
            ``model`` gives what ``model.load_state_dict`` takes.
        framework
            ``numpy`` arrays (16- and 8-bit floats that numpy lacks are of ``ml_dtypes``) or ``torch`` tensors.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound, CheckpointUnreadable, StorageUnavailable
            See `info`; also when it has no such tensor, or one whose values cannot be read.
        """
        inside = look_inside(self._locator.locate(source))
        patterns = [names] if isinstance(names, str) else list(names)
        of_part = [tensor for tensor in inside.contents.tensors if tensor.part == part]
        wanted = [tensor for tensor in of_part if any(fnmatchcase(tensor.name, pattern) for pattern in patterns)]
        if not wanted:
            raise InvalidRequest(
                f"{inside.located.name} has no {part} tensor {' or '.join(map(repr, patterns))}.",
                _closest(patterns[0] if patterns else "", of_part),
            )
        found = arrays_of(wanted)
        return found if framework == "numpy" else {name: _as_torch(array) for name, array in found.items()}

    def download(self, source: Source, destination: str | Path, *, on_progress: OnProgress | None = None) -> Transfer:
        """Bring a checkpoint's files into a folder, under the name it has, and verify them.

        A large file that was cut goes on where it was. Of a job's checkpoint each file's SHA-256 is compared with the
        one at saving, of any other what S3 says of it.

        Raises
        ------
        InvalidRequest, ObjectMissing, JobNotFound, StorageUnavailable
            See `info`.
        CheckpointUnreadable
            A file is not as it was saved; it does not stay.
        """
        located = self._locator.locate(source)
        folder = Path(destination).expanduser()
        single = located.files.single
        target = folder if single is not None else folder / Path(located.name).name
        started = time.monotonic()
        paths = {name: target.joinpath(*name.split("/")) for name in sorted(located.files.sizes)}
        bring(
            located.store,
            {str(path): located.prefix + name for name, path in paths.items()},
            on_progress=on_progress,
        )
        saved = {} if located.manifest is None else {file.path: file.sha256 for file in located.manifest.files}
        for name, path in paths.items():
            _verify(located, name, path, saved.get(name))
        took = round(time.monotonic() - started, 3)
        return Transfer(located.uri, str(target / single if single else target), len(paths), located.size, took)


def _verify(located: Located, name: str, path: Path, digest: str | None) -> None:
    if path.stat().st_size != located.files.sizes[name] or (digest is not None and _sha256(path) != digest):
        path.unlink()
        raise CheckpointUnreadable(
            f"{located.store.uri_of(located.prefix + name)} is not as it was saved.",
            "It was damaged or replaced: take another, `runctl checkpoints list` names them.",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _as_torch(array: np.ndarray[Any, Any]) -> Any:
    import torch

    if array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8")):
        # PyTorch does not know the types of ml_dtypes, but has the same.
        import numpy as np

        bits = array.view(np.dtype(f"u{array.dtype.itemsize}").newbyteorder("="))
        return torch.from_numpy(bits).view(getattr(torch, array.dtype.name))
    return torch.from_numpy(array)


def _closest(name: str, tensors: Sequence[Tensor]) -> str:
    import difflib

    close = difflib.get_close_matches(name, [tensor.name for tensor in tensors], n=3, cutoff=0.5)
    close = close or [tensor.name for tensor in tensors[:3]]
    return f"It has {', '.join(close)}{' …' if len(tensors) > len(close) else ''}." if close else "It has none at all."
