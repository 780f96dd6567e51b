"""`python -m harness.cli`: the command line."""

from harness.cli.main import main

main()
