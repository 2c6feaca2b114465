"""A column of whole numbers that may become long: beyond a limit its beginning stands in a file, not in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

KEPT = 250_000
"""Numbers that are kept in memory: 2 MB a column."""


class Column:
    """Append-only. The file has no name, lies in the system's folder for such files and is gone with the column."""

    __slots__ = ("__weakref__", "_append", "_file", "_kept", "_recent", "_written")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._recent: array[int] = array("q")
        self._append = self._recent.append
        self._file: IO[bytes] | None = None
        self._written = 0

    def append(self, value: int) -> None:
        """One more, of 64 bits."""
        self._append(value)
        if len(self._recent) >= self._kept:
            self._spill()

    def _spill(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(prefix="sparksim-")  # noqa: SIM115 - open for as long as the column is
            finalize(self, self._file.close)
        self._recent.tofile(self._file)
        self._written += len(self._recent)
        self._recent = array("q")
        self._append = self._recent.append

    def numbers(self) -> npt.NDArray[np.int64]:
        """All of them, read from the file as they are looked at where there is one."""
        if self._file is None:
            return np.array(self._recent, dtype=np.int64)
        self._spill()
        self._file.flush()
        return np.memmap(self._file, dtype=np.int64, mode="r", shape=(self._written,))

    def __len__(self) -> int:
        return self._written + len(self._recent)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers().tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = np.asarray(self.numbers(), dtype=dtype)
        return found.copy() if copy else found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and np.array_equal(self.numbers(), other.numbers())

    __hash__ = None  # type: ignore[assignment]

    def tolist(self) -> list[int]:
        """All of them in memory, for tests and small tables."""
        found: list[int] = self.numbers().tolist()
        return found
