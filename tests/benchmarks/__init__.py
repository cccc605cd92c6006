"""Speed as a ratio beside a baseline of the same run. `make bench`; never run by the tests."""
