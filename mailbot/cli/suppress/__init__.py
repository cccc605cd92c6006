"""`mailbot suppress`: the do-not-send list by hand, and whole lists in and out."""
