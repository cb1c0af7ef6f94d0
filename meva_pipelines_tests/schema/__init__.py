"""What the room `schema` promises."""
