"""The rules of core/recognition.py, and what they look at."""
