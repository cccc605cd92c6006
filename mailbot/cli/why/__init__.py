"""`mailbot why`: one person's story, each event and each message with its reason."""
