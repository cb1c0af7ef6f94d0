"""WHAT EXISTS: a module per subject; assets fetch, ask, act and report. Decisions belong to the domain."""
