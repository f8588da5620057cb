"""What the speed claims rest on; see README.md."""
