"""The tests mirror mailbot/; they read as sentences."""
