"""What the room `resources` promises."""
