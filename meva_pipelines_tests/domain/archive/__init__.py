"""The archive as pure decisions: periods, filters, and what need not be read."""
