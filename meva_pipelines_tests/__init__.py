"""The suite: one folder per room, real servers, names that state the rule."""
