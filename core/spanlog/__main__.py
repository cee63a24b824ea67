"""`python -m spanlog` is the command `spanlog`."""

from spanlog.cli import main

main()
