"""Social events, invites to them, and who came across them → rows of social events."""
