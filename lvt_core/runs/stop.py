"""Signals: a run finishes its step, saves, says how to continue, and ends with a status of its own."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from lvt_core.errors import UserError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
OFFSET = 128  # exit status of a process that a signal ended, less the signal's number


class Stopped(Exception):
    """The end of a run that was asked to stop; the message says what is saved, and how to continue."""


class StopRequest:
    """A context in which the first signal asks the run to stop, and the second one ends the process.

    A run that was asked to stop leaves the context with the exit status of the signal. Only the first process
    of a run heeds the request; the others go on until its end breaks their connection.

    Raises:
        SystemExit: A signal has ended the run.
    """

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
        if not self() or not isinstance(error, Exception) or isinstance(error, UserError):
            return
        if isinstance(error, Stopped):
            print(f"stopped by {self.name}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(self.status) from error

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
