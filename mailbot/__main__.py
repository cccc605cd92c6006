"""`mailbot` and `python -m mailbot`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit code, which `mailbot --help` explains."""
    try:
        from mailbot.cli.command_line import main as run
    except KeyboardInterrupt:  # Ctrl-C while Python still loads
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
