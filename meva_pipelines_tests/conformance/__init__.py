"""Our tables and results against measured or supplied reference data (make conformance)."""
