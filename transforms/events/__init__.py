"""PostHog rows → events that count, one out of its copies, or a dead letter with its reason."""
