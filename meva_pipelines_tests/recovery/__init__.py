"""Faults at every registered failpoint, and the invariants that hold afterwards."""
