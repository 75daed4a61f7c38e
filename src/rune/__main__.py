"""`python -m rune` is the command `rune`."""

from rune.cli import main

main()
