"""What the designs promise in seconds and bytes, measured beside the floors and the peers. Nothing here is a test."""
