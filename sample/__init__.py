"""Sample data: a synthetic warehouse of any size that looks and misbehaves like the real exports.

A run without data writes one so that there is something to aggregate, tests read it for its
imperfections, and benchmarks for its size. Everything is invented: phone numbers are from the range
reserved for fiction (555-0100 to 555-0199), addresses from the ranges reserved for documentation,
emails end in example.com or example.org. The same arguments give the same bytes.

    people.py     who there is: logins, phone numbers, the users table
    timeline.py   what happens: sessions and events as numbers, in order of arrival
    payloads.py   what an event looks like: the SDK's properties as text
    flaws.py      what goes wrong: broken rows, odd values, other libraries, on a fixed schedule
    rows.py       numbers → Arrow rows of the events export
    social.py     social events, their edits, and invites
    write.py      rows → a warehouse folder
"""

from sample.people import EXCLUDED_IDS
from sample.rows import EVENTS_SCHEMA, event_batches
from sample.timeline import Plan
from sample.write import SAMPLE_EVENTS, write_sample

__all__ = [
    "EVENTS_SCHEMA",
    "EXCLUDED_IDS",
    "SAMPLE_EVENTS",
    "Plan",
    "event_batches",
    "write_sample",
]
