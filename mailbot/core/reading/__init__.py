"""Bytes of a mail → fields, parts, lines of text. Linear, bounded, and never raising."""
