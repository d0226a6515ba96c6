"""Progress of the tour: one line per step on the terminal, with an estimate of the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from demo.page.blocks import duration

TRUST = 20.0  # seconds of steps at the expected pace, which a measured pace has to outweigh


@dataclass(frozen=True)
class Step:
    """Step of the tour.

    Attributes:
        title: Name on the terminal.
        seconds: Expected duration on two idle cores.
    """

    title: str
    seconds: float


class Progress:
    """Printer of steps, which scales the expected durations by the pace of the steps so far.

    Args:
        steps: All steps of the tour, in order.
    """

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._finished = 0
        self._began = time.monotonic()
        self._expected = self._measured = TRUST

    @contextmanager
    def step(self) -> Iterator[Callable[[], None]]:
        """Print the next step, and how long it took.

        Yields:
            Function that renews the line of the step on a terminal.
        """
        step, label = self._steps[self._finished], f"[{self._finished + 1}/{len(self._steps)}]"
        live = sys.stdout.isatty()
        self._began = time.monotonic()

        def show() -> None:
            line = f"{label} {step.title}: about {duration(self._pace() * step.seconds)}"
            line += f"; about {duration(self.left())} left in all"
            print(f"\r{line:<100}" if live else line, end="" if live else "\n", flush=True)

        show()
        try:
            yield show if live else lambda: None
        except BaseException:
            print(end="\n" if live else "", flush=True)  # the message of the failure starts on a new line
            raise
        took = time.monotonic() - self._began
        self._began += took
        self._finished += 1
        self._expected += step.seconds
        self._measured += took
        line = f"{label} {step.title}: took {duration(took)}"
        print(f"\r{line:<100}" if live else line, flush=True)

    def left(self) -> float:
        """Estimate the seconds until the last step ends."""
        if self._finished == len(self._steps):
            return 0.0
        expected = self._pace() * sum(step.seconds for step in self._steps[self._finished :])
        return max(0.0, expected - (time.monotonic() - self._began))

    def _pace(self) -> float:
        """Return the measured seconds per expected second."""
        return self._measured / self._expected
