"""What the room `quality` promises."""
