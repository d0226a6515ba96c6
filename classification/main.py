#!/usr/bin/env python
"""Training of an image classifier; ``python main.py --help`` lists the options."""

from lvt_classify.train import main
from lvt_core.errors import run_command

if __name__ == "__main__":
    run_command(main)
