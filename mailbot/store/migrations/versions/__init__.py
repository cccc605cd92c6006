"""One file a version, oldest first; what was released is never edited."""
