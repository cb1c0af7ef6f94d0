"""Simulations and firings as they come: documents, sheets, and curves in the units in which they are stored."""
