#!/usr/bin/env python
"""Validation of an image classifier; ``python validate.py --help`` lists the options."""

from lvt_classify.validate import main
from lvt_core.errors import run_command

if __name__ == "__main__":
    run_command(main)
