"""`mailbot web …`: what mailbot shows to browsers, each page a process of its own."""
