"""Errors that the user can fix, reported in one sentence; `lvt_predict` shares them."""

from lvt_predict.command import CommandParser, key_value, run_command
from lvt_predict.errors import UserError, sentence

__all__ = ["CommandParser", "UserError", "key_value", "run_command", "sentence"]
