"""`python -m bluerec`."""

from bluerec.cli import main

main()
