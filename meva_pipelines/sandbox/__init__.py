"""A world to try things in: a registry server and makers of laboratory data. It knows the domain only."""
