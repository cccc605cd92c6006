"""`mailbot replay`: mail of the past through the same intake, first as a rehearsal."""
