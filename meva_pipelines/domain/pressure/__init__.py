"""Pressure-time curves of gas generators: simulated beside measured, on one time base, with honest reasons."""
