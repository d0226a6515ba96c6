"""A door that must be closed within little time and memory, in one sentence."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from lvt_core.errors import UserError, sentence

SECONDS = 5  # a slow machine opens most doors in a tenth of a second
LONGEST = 5000  # characters of a message
ROOM = 2 << 30  # bytes of address space beside what the process has


class TooSlow(BaseException):
    """An attack that takes longer than it may; no handler of exceptions catches it."""


@contextmanager
def rejected(message: str = "") -> Iterator[None]:
    """Check that the block raises one short sentence, soon, and with little memory.

    Args:
        message: Pattern in the sentence.
    """
    with pytest.raises(UserError, match=message) as caught, within_limits():
        yield
    text = sentence(caught.value)
    assert "\n" not in text.strip()
    assert len(text) <= LONGEST, text[:200]


@contextmanager
def within_limits() -> Iterator[None]:
    """Let the block use `SECONDS` seconds and `ROOM` bytes."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
