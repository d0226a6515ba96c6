"""Signals: a run finishes its step, saves, says how to continue, and ends with a status of its own."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
OFFSET = 128  # exit status of a process that a signal ended, less the signal's number


class Stopped(Exception):
    """The end of a run that was asked to stop, after it has been saved."""


class StopRequest:
    """A context in which the first signal asks the run to stop, and the second one ends the process."""

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the run has been asked to stop."""
        return self.signal != 0

    @property
    def status(self) -> int:
        """Exit status of the process."""
        return OFFSET + self.signal

    @property
    def name(self) -> str:
        """Name of the signal."""
        return signal.Signals(self.signal).name

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # elsewhere there are no handlers
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
