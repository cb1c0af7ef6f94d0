"""What the room `local` promises."""
