"""Errors that the user can fix, reported in one sentence; `lvt_predict` shares them."""

from lvt_predict.errors import CommandParser, UserError, run_command, sentence

__all__ = ["CommandParser", "UserError", "run_command", "sentence"]
