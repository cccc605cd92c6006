"""`mailbot … uncertain`: a person decides about messages that may or may not have gone out."""
