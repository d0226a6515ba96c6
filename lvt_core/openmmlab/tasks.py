"""The dense tasks: which package serves a config, by the framework that the config names."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from mmengine.config import Config

from lvt_core.errors import CommandParser, UserError
from lvt_core.frameworks import require_installed

PACKAGES = {"mmseg": "lvt_seg", "mmdet": "lvt_det"}


class Checks(Protocol):
    """The module `checks` of a task's package."""

    def check_data(self, cfg: Config, loaders: Sequence[str]) -> None:
        """Check the data of some loaders before anything runs."""

    def check_names(self, cfg: Config, option: str) -> None:
        """Reject two test images whose outputs would have one name."""


class Commands(Protocol):
    """The module `commands` of a task's package."""

    def add_test_options(self, parser: CommandParser) -> None:
        """Add the task's own options of testing."""

    def apply_test_options(self, cfg: Config, args: Namespace) -> None:
        """Put the options of testing into the config."""


class Speed(Protocol):
    """The module `speed` of a task's package."""

    COST_SIZE: tuple[int, int]  # height and width of the image whose cost is counted

    def build_model(self, cfg: Config) -> Any:
        """Build the network of a config."""

    def cost_table(self, model: Any, size: tuple[int, int]) -> str:
        """Describe a network's parameters and multiply-adds."""

    def dataset_samples(self, cfg: Config, count: int) -> Iterator[dict]:
        """Yield images of the test set, after the test pipeline."""

    def random_samples(self, count: int) -> Iterator[dict]:
        """Yield noise of the published size."""

    def measure(self, model: Any, samples: Iterable[dict], args: Namespace) -> Iterator[str]:
        """Measure a network on samples; yield lines of results."""


class Task(NamedTuple):
    """The modules of a task's package that the shared commands use."""

    checks: Checks
    commands: Commands
    speed: Speed


def task_of(cfg: Config) -> Task:
    """Import the task of a config.

    Raises:
        UserError: The config names no known framework, or the framework is not installed.
    """
    scope = cfg.get("default_scope")
    if scope not in PACKAGES:
        raise UserError(f"{cfg.filename}: default_scope={scope!r}: must be {' or '.join(PACKAGES)}")
    require_installed(scope, extra="dense")
    modules = (import_module(f"{PACKAGES[scope]}.{name}") for name in Task._fields)
    return Task(*cast(Iterable[Any], modules))
