"""PURE decisions and values: no Dagster, no sockets, no clock, no files; `now` is an argument."""
