"""`mailbot demo`: the real daemon, a little town of mail around it, and its own audit."""
