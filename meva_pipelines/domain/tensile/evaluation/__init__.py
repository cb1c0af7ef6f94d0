"""The properties of a tensile test after ISO 6892-1, ASTM E8 and ASTM E3076: pure functions from curve to values."""
