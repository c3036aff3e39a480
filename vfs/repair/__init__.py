"""`vfs fsck --repair`: a damaged store is made whole beside itself, described, and only then put in place."""
