"""The command line: one file a noun. It asks, calls and shows; rules live in the rooms below.

command_line.py  all commands in one, every error in words    opening.py  settings, keys, database
options.py       what many commands take                      showing.py  tables, times, JSON

Each command imports what it needs when it runs, so that `--help` and completion stay quick.
"""
