"""The report: what it says, hides and shows."""
