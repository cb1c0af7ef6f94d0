"""THE OUTSIDE WORLD: servers, stores, files and programs, lent with `with`. No decision is taken here."""
