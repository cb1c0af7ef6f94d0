"""What the room `automation` promises."""
