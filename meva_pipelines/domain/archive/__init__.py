"""What ages into cold files: which tables, in which periods, by which filter they are read. Decisions only."""
