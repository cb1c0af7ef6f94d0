"""The commands behind make: the embedded server, the demo, the web interface. Nothing imports this room."""
