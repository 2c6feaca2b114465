"""The header of a GGUF file: what it says of the model, and every tensor's sizes and format. No weight is read.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Counts are held against the file's size before
anything is made of them; arrays (vocabularies) are walked past, not kept.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.errors import ModelError, Problem

FORMATS = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 10: "q2_k", 11: "q3_k", 12: "q4_k",
    13: "q5_k", 14: "q6_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s",
    22: "iq2_s", 23: "iq4_xs", 29: "iq1_m", 30: "bf16", 39: "mxfp4", 40: "nvfp4",
}  # fmt: skip
"""ggml's numbers of tensor types (ggml/include/ggml.h) -> storage formats."""
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)
_LEAST_PAIR, _LEAST_TENSOR = 13, 25
"""Bytes that a pair (empty name, one-byte value) and a tensor (empty name, one dimension) take at least."""
MOST_ELEMENTS = 4_000_000
"""An array of more strings would take seconds to walk past; the largest vocabularies have some 260,000."""
MOST_TENSORS, MOST_PAIRS, LONGEST_TEXT = 200_000, 100_000, 2**20

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor: sizes with the innermost (row length) first, and its storage format."""

    name: str
    sizes: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`values`: single values by key; of an array only its length stands there, under the key with `[]` behind it."""

    values: Mapping[str, Scalar]
    tensors: tuple[GgufTensor, ...]


class _BrokenError(Exception):
    """What is wrong with the file, in words."""


class _Cursor:
    """Reads one thing after the other, never beyond the end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        return len(self._data) - self._at

    def skip(self, size: int) -> None:
        if not 0 <= size <= self.left():
            raise _BrokenError(f"it ends within its header: {size:,} more bytes are said to follow byte {self._at:,}")
        self._at += size

    def number(self, form: str) -> int | float:
        start = self._at
        self.skip(struct.calcsize(form))
        value: int | float = struct.unpack_from(form, self._data, start)[0]
        return value

    def count(self) -> int:
        return int(self.number("<Q"))

    def text(self) -> str:
        size = self.count()
        if size > LONGEST_TEXT:
            raise _BrokenError(
                f"a text of {size:,} bytes stands at byte {self._at:,}; at most {LONGEST_TEXT:,} are read"
            )
        start = self._at
        self.skip(size)
        return self._data[start : start + size].decode("utf-8", "replace")

    def past_array(self) -> int:
        """The length of an array that is walked past."""
        kind, length = int(self.number("<I")), self.count()
        if kind in _SCALARS:
            self.skip(length * struct.calcsize(_SCALARS[kind]))
            return length
        if kind not in (_STRING, _ARRAY):
            raise _BrokenError(f"type {kind} of an array's values is unknown")
        if length > min(MOST_ELEMENTS, self.left() // 8) or kind == _ARRAY:
            raise _BrokenError(f"an array of {length:,} texts or arrays stands at byte {self._at:,}; that is not read")
        for _ in range(length):
            self.skip(self.count())
        return length


def read_gguf(path: Path) -> GgufHeader:
    """The header of the file.

    Raises:
        ModelError: it cannot be read, is no GGUF file, or is broken.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(_Cursor(data))
    except _BrokenError as error:
        message = f"this is no GGUF file that can be read: {error}"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {error}"
    raise ModelError(Problem(message, code="bad_gguf", file=str(path)))


def _header(cursor: _Cursor) -> GgufHeader:
    if cursor.left() < 24 or int(cursor.number("<I")) != 0x46554747:
        raise _BrokenError("it does not begin with GGUF")
    version = int(cursor.number("<I"))
    if version not in _VERSIONS:
        raise _BrokenError(f"version {version} is not read; 2 and 3 are")
    n_tensors, n_pairs = cursor.count(), cursor.count()
    for count, most, least, noun in (
        (n_tensors, MOST_TENSORS, _LEAST_TENSOR, "tensors"),
        (n_pairs, MOST_PAIRS, _LEAST_PAIR, "values"),
    ):
        if count > min(most, cursor.left() // least):
            raise _BrokenError(f"{count:,} {noun} do not fit into {cursor.left():,} bytes")
    values = dict(_pair(cursor) for _ in range(n_pairs))
    return GgufHeader(values, tuple(_tensor(cursor) for _ in range(n_tensors)))


def _pair(cursor: _Cursor) -> tuple[str, Scalar]:
    key, kind = cursor.text(), int(cursor.number("<I"))
    if kind == _STRING:
        return key, cursor.text()
    if kind == _ARRAY:
        return f"{key}[]", cursor.past_array()
    if kind not in _SCALARS:
        raise _BrokenError(f"type {kind} of {key[:60]!r} is unknown")
    return key, cursor.number(_SCALARS[kind])


def _tensor(cursor: _Cursor) -> GgufTensor:
    name, n_sizes = cursor.text(), int(cursor.number("<I"))
    if not 1 <= n_sizes <= 4:
        raise _BrokenError(f"tensor {name[:60]!r} has {n_sizes} dimensions")
    sizes = tuple(cursor.count() for _ in range(n_sizes))
    kind = int(cursor.number("<I"))
    cursor.skip(8)
    if kind not in FORMATS:
        raise _BrokenError(f"type {kind} of tensor {name[:60]!r} is not modelled")
    return GgufTensor(name, sizes, FORMATS[kind])
