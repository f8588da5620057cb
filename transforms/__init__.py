"""What the numbers mean: pure functions from event rows to session and person rows, and thin Beam wrappers.

The rooms in the order in which data passes them; each imports from itself and from those above it, never from below:

    machinery/    Arrow and Beam, nothing of sessions: what any pipeline of record batches could use
    metrics/      what is measured: the metrics file and the kinds of metrics
    schemas/      every column of every table, once
    ids/          what an id means: words for nobody, phone numbers in one form, whose data is left out
    incremental/  what a run reads, how far the events have come, which sessions wait for more
    published/    new rows against published ones
    users/        Firebase documents → users, their aliases, their social events
    events/       PostHog rows → events that count, or dead letters
    sessions/     events → facts → rows of sessions
    persons/      rows of sessions → rows of persons
    social/       social events, invites, and who came across them → rows of social events

Nothing in this package knows a file, a table's location or a command-line option.
"""
