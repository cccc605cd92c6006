"""`mailbot review`: mail that a person has to read, and what they decide."""
