"""What the room `checks` promises."""
