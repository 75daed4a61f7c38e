"""Measurements of Rune against the official SDK and against what the machine can do at best: `python -m bench`."""
