"""Firebase documents → users, their aliases, and the social events that they created."""
