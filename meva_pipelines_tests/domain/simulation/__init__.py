"""Simulations and firings as they come."""
