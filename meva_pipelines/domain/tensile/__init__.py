"""Tensile tests: what machines write, what it means, which version stands, what follows from it."""
