"""THE TABLES: one module per PostgreSQL schema, and the migrations that make them. No rows are read here."""
