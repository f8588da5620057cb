"""What is done to Beam's local runner, and what other engines need."""
