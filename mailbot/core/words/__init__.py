"""The words that opt somebody out, as data, and how they are found in a subject."""
