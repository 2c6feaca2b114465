"""What is being done, on one line of the terminal that is gone when it is done."""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import TextIO

REFRESH_S = 0.1
"""A line is drawn at most this often, and not before this long: short runs show nothing."""


class ProgressLine:
    """A context in which calls draw one line on `stream`, if that is a terminal; cleared however the context ends."""

    def __init__(self, stream: TextIO, *, is_wanted: bool = True) -> None:
        self._stream = stream
        self._is_shown = is_wanted and stream.isatty()
        self._drawn_at = time.monotonic()
        self._has_drawn = False

    def __enter__(self) -> ProgressLine:
        return self

    def __call__(self, text: str) -> None:
        """Say what is being done now, unless something was said just before."""
        if time.monotonic() - self._drawn_at >= REFRESH_S:
            self.show(text)

    def show(self, text: str) -> None:
        """Say it at once: what comes now takes long."""
        if not self._is_shown:
            return
        self._drawn_at, self._has_drawn = time.monotonic(), True
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
