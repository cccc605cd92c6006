"""Coverage-guided fuzzing of what reads mail: `make fuzz`."""
