"""Real mail that nobody here wrote, judged: `make corpora` prints the table."""
