"""`mailbot campaign`. commands.py: all of them, and what moves a campaign; the others a file each.

draft.py, letter_files.py, sending_time.py  read what marketing gives
screen.py, story.py, *_screen.py            show it: numbers and reasons, never a person
"""
