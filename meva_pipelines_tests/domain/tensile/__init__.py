"""Tensile tests: the pure rules."""
