"""Backups as pure decisions: records, chains, the log, retention, names of members."""
