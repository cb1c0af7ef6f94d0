"""Data pipelines that write, audit and publish. Each room below imports only from rooms under its own."""
