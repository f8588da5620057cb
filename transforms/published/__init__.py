"""New rows against published rows: what a run inserts, updates, deletes and leaves alone."""
