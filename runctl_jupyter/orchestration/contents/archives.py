"""Zip archives of checkpoints (PyTorch, NumPy): entries by range reads, which two places must describe alike."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from itertools import pairwise
from typing import IO, cast

from runctl_jupyter.orchestration.contents.bounds import damaged, short_text
from runctl_jupyter.orchestration.contents.files import BLOCK_BYTES, Files, RangeFile, ReadRange
from runctl_jupyter.orchestration.contents.places import Source
from runctl_jupyter.orchestration.units import size_text

_MOST_DIRECTORY = 8 << 20
"""A directory of a hundred thousand entries has as many bytes, and takes ten times of them in memory."""
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_SLACK = 512
"""PyTorch pads a local header by up to 64 bytes, so that data begin at a round place; read with the data it is free."""
_CHUNK = 1 << 20
_LEAST = 4 << 10
_ENCRYPTED, _UTF8 = 0x1, 0x800
_ERRORS = (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, struct.error, OverflowError)


class Archive:
    """A zip archive.

    Raises
    ------
    CheckpointUnreadable
        It is none, or entries lie one upon the other, have the same name, or are too many.
    """

    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name, self._blocks = files, name, files.open(name)
        try:
            with zipfile.ZipFile(cast("IO[bytes]", _Directory(self._blocks))) as archive:
                infos, self._end = archive.infolist(), archive.start_dir
        except _ERRORS as error:
            raise damaged(f"The zip archive {name} cannot be read: {short_text(str(error), 150)}.") from error
        self._infos = {info.orig_filename: info for info in infos}
        if len(self._infos) < len(infos):
            raise damaged(f"The zip archive {name} has several entries of one name.")
        self._check_places(infos)

    def _check_places(self, infos: list[zipfile.ZipInfo]) -> None:
        """Refuse entries that share bytes: the way to have gigabytes in a file of some kilobytes."""
        spans = sorted((info.header_offset, info.header_offset + _least_bytes(info)) for info in infos)
        if spans and (spans[0][0] < 0 or spans[-1][1] > self._end):
            raise damaged(f"Entries of the zip archive {self._name} lie outside of it.")
        if any(before[1] > after[0] for before, after in pairwise(spans)):
            raise damaged(f"Entries of the zip archive {self._name} lie one upon the other.")

    @property
    def names(self) -> list[str]:
        """Names of the entries, in their order."""
        return list(self._infos)

    def __contains__(self, entry: str) -> bool:
        return entry in self._infos

    def size(self, entry: str) -> int:
        """Return how many bytes an entry has, unpacked, by its own word."""
        return self._infos[entry].file_size

    def is_stored(self, entry: str) -> bool:
        """Return whether an entry lies as it is, so that any byte of it is one range read."""
        return self._infos[entry].compress_type == zipfile.ZIP_STORED

    def source(self, entry: str) -> Source:
        """Return an entry's bytes to read of.

        Raises
        ------
        CheckpointUnreadable
            It is encrypted, or packed in a way that is not known.
        """
        return self._entry(entry, self._files.data)

    def structure(self, entry: str) -> Source:
        """Return an entry's bytes to read of, within the budget of `Files`; those of small ones many at once."""
        is_small = self._infos[entry].compress_size <= BLOCK_BYTES
        return self._entry(entry, self._block if is_small else self._files.structure)

    def whole(self, entry: str, most_bytes: int) -> bytes:
        """Return a small entry, within the budget of `Files`."""
        size = self.size(entry)
        if size > most_bytes:
            raise damaged(
                f"{short_text(entry, 200)} in {self._name} has {size_text(size)}, not {size_text(most_bytes)} at most."
            )
        return self.structure(entry).read(0, size)

    def _block(self, _: str, start: int, end: int) -> bytes:
        self._blocks.seek(start)
        return self._blocks.read(end - start)

    def _entry(self, entry: str, fetch: ReadRange) -> Source:
        info = self._infos[entry]
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(f"{short_text(entry, 200)} in {self._name} is encrypted, or packed in an unknown way.")
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise damaged(f"{short_text(entry, 200)} in {self._name} has two sizes.")
        kind = _Stored if info.compress_type == zipfile.ZIP_STORED else _Deflated
        return kind(self._name, self._files.size(self._name), info, fetch)


def _least_bytes(info: zipfile.ZipInfo) -> int:
    return _LOCAL_HEADER.size + len(info.orig_filename) + info.compress_size


class _Directory:
    """A file for `zipfile`, which reads as much at once as the file tells it to."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave it open: its blocks are read of again."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_DIRECTORY and self._file.size - self._file.tell() > _MOST_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is longer than {size_text(_MOST_DIRECTORY)}")
        return self._file.read(size)


class _Entry:
    """An entry: its place is told by its local header only, and read with the first bytes that are asked for."""

    def __init__(self, name: str, archive_bytes: int, info: zipfile.ZipInfo, fetch: ReadRange) -> None:
        self._name, self._archive_bytes, self._info, self._fetch = name, archive_bytes, info, fetch
        self._at: int | None = None

    def _raw(self, start: int, end: int) -> bytes:
        """Return bytes as they lie in the archive."""
        if not 0 <= start <= end <= self._info.compress_size:
            raise damaged(f"{self._what} has {self._info.compress_size:,} bytes, of which byte {end:,} is to be read.")
        begin = b""
        if self._at is None:
            offset = self._info.header_offset
            until = offset + _LOCAL_HEADER.size + 4 * len(self._info.orig_filename) + _SLACK
            if start < _CHUNK:  # in the middle of a large entry the header is asked for alone
                until += end
            found = self._fetch(self._name, offset, min(until, self._archive_bytes))
            self._at = offset + self._header_bytes(found)
            begin = found[self._at - offset + start :][: end - start]
        if len(begin) == end - start:
            return begin
        return begin + self._fetch(self._name, self._at + start + len(begin), self._at + end)

    def _header_bytes(self, found: bytes) -> int:
        """Return how long the local header is, which must say what the directory says."""
        if len(found) >= _LOCAL_HEADER.size:
            magic, _, flags, method, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(found)
            name = found[_LOCAL_HEADER.size :][:name_bytes].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
            is_its_own = magic == b"PK\x03\x04" and not flags & _ENCRYPTED and name == self._info.orig_filename
            if is_its_own and method == self._info.compress_type:
                return _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)
        raise damaged(f"{self._what} is not where the archive's directory says.")

    @property
    def _what(self) -> str:
        return f"{short_text(self._info.orig_filename, 200)} in {self._name}"


class _Stored(_Entry):
    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`."""
        return self._raw(start, end)


class _Deflated(_Entry):
    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`: all before them is unpacked and dropped, a piece at a time."""
        unpacked, at, packed_at, found = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0, io.BytesIO()
        packed = b""
        while at < end:
            if not packed and not unpacked.eof and packed_at < self._info.compress_size:
                until = min(packed_at + min(_CHUNK, max(_LEAST, end - at)), self._info.compress_size)
                packed, packed_at = self._raw(packed_at, until), until
            try:
                piece = unpacked.decompress(packed, min(_CHUNK, end - at))
            except zlib.error as error:
                raise damaged(f"{self._what} cannot be unpacked: {error}.") from error
            packed = unpacked.unconsumed_tail
            if not piece and (unpacked.eof or (not packed and packed_at >= self._info.compress_size)):
                raise damaged(f"{self._what} ends after {at:,} bytes, of which it has {self._info.file_size:,}.")
            found.write(piece[max(start - at, 0) :])
            at += len(piece)
        return found.getvalue()
