"""Events → session facts → rows of sessions: whose they are, which a run concludes, what changed."""
