"""WHAT STOPS A BAD RUN: the asset checks of Dagster. The rules themselves belong to the room quality."""
