"""`mailbot status`: how things stand, what needs a person; `--metrics` for Prometheus."""
