"""What is in examples/ works."""
