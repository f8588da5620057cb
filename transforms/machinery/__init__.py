"""Arrow and Beam, and nothing of sessions: what any pipeline of record batches could use."""
