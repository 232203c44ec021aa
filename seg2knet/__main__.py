"""``python -m seg2knet``."""

from seg2knet.cli import main

main()
