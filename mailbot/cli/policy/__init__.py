"""`mailbot policy`: the versions of the privacy policy, and since when each is in force."""
