"""Remembers: all SQL. Plain functions that take the connection first and never commit."""
