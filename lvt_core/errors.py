"""Errors that the user can fix, reported in one sentence; `lvt_predict` shares them."""

from lvt_predict.command import CommandParser, run_command
from lvt_predict.errors import UserError, sentence

__all__ = ["CommandParser", "UserError", "run_command", "sentence"]
