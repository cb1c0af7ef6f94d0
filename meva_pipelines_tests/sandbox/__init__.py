"""What the room `sandbox` promises."""
