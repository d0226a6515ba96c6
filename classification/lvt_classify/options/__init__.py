"""Command-line options: their declaration and their parser."""
