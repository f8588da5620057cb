"""What the numbers mean: pure functions from event rows to session and person rows, and thin Beam wrappers.

Nothing in this package knows a file, a table's location or a command-line option.
"""
