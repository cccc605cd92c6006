"""Whole lists at once: read in from a file, given out, compared. Memory stays flat at any size."""
