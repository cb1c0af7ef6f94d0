"""Pressure-time curves against closed forms, published figures and independent implementations."""
