"""The command line, a room or a file a noun. It asks, calls, shows; rules live in the rooms below.

command_line.py  all commands in one, every error in words    opening.py  settings, keys, database
options.py       what many commands take                      showing.py  tables, times, JSON
campaign/ …      the nouns of several files: commands.py first, what is shown in screen.py

Each command imports what it needs when it runs, so that `--help` and completion stay quick.
"""
