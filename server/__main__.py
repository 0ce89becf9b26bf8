"""`python -m server` is `penchant`."""

from server.cli import main

main()
