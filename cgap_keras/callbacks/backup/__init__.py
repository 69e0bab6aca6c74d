"""A training saved in a directory and taken up again, across changes of structure."""
