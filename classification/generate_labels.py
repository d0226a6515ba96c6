#!/usr/bin/env python
"""Generation of token-label maps; ``python generate_labels.py --help`` lists the options."""

from lvt_classify.generate_labels import main
from lvt_core.errors import run_command

if __name__ == "__main__":
    run_command(main)
