"""What the room `assets` promises."""
