"""`python -m p2p_modelex` is the `modelex` command."""

from p2p_modelex.cli import main

main()
