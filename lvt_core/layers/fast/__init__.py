"""Faster forms of the layers, equal to the plain ones; each module says what it gains."""
