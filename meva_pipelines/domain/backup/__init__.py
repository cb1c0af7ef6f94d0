"""Backups, decided purely: what one is, which of them hang together, what may be restored, what may go."""
