"""The I/O seam: what is read from files, and how."""
