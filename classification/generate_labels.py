#!/usr/bin/env python
"""Make token-label maps with a teacher; ``python generate_labels.py --help`` lists the options."""

from lvt_classify.generate_labels import main
from lvt_core.errors import run_command

if __name__ == "__main__":
    run_command(main)
