"""`mailbot ledger`: is the record whole (`verify`), and all of it in a file (`export`)."""
