"""What comes in and what goes out: every column of every table, once."""
