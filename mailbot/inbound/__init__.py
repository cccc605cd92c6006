"""Hears: the mailbox read by IMAP, and what each mail in it means for the list."""
