"""What a run reads of the events, how far they have come, and which sessions wait for more."""
