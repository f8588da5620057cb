"""What a night costs on Google Cloud, as a calculation: `python -m deploy.costs` prints the tables of docs/deploy.md.

Prices are list prices without free tiers and discounts; each line says where it is from. The amounts of work come
from the pipeline's own defaults and from benchmarks/results.md; what is estimated says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pipeline.options import OPTIONS
from transforms.incremental.window import MAX_SESSION

#: USD, list prices of the default region, europe-west1, and of BigQuery's location EU. Workers cost a tenth more than
#: in us-central1 (0.056 and 0.003557), the rest is the same there.
PRICES = {
    "Dataflow batch, vCPU hour": 0.0616,
    "Dataflow batch, GB of memory and hour": 0.0039127,
    "Dataflow Shuffle, GB": 0.011,
    "BigQuery Storage Read API, TiB": 1.10,
    "BigQuery query on demand, TiB": 6.25,
    "BigQuery active storage, GiB and month": 0.02,
}
#: Not read from Google's own price pages, which were out of reach when this was written.
PRICES_SEEN = "as quoted publicly in 2026"

#: Bytes of one event in the session shuffle: a slim row in a packed Arrow batch. Counted as in a large app, where rows
#: come in no order and a batch has one event of each session: nothing is merged before the shuffle. To be set from the
#: measurement in benchmarks/results.md.
SHUFFLED_BYTES_AN_EVENT = 60

_DEFAULTS = {option.name: option.default for option in OPTIONS}
#: A nightly run reads the day that is new, the overlap, the lateness and a session's longest life.
DAYS_READ = (
    timedelta(days=1)
    + timedelta(hours=int(_DEFAULTS["overlap_hours"] or 0))
    + timedelta(days=int(_DEFAULTS["lateness_days"] or 0))
    + timedelta(microseconds=MAX_SESSION)
) / timedelta(days=1)

ASSUMPTIONS = {
    "Bytes of an event in the columns that are read": 1_200,
    "Events of a session": 20,
    "Sessions of a person": 10,
    "Days of events and sessions in the tables": 90,
    "Bytes of a session row": 600,
    "Bytes of a person row": 400,
    "Bytes of a session's rows in session_links, person_days and social_events": 700,  # as in the sample
    "CPU seconds for a million events, read with DIRECT_READ": 28,
    "CPU seconds for a million old sessions, joined and compared": 30,
    "Bytes of an event in shuffles, in no order": SHUFFLED_BYTES_AN_EVENT,
    "Bytes of a session row in shuffles, two joins, packed": 500,
    "Bytes of the rows of these three in shuffles, packed (estimated: half)": 350,
    "Shuffled bytes are written and read: times": 2,
    "Share of a worker's time that is work": 0.6,
    "vCPU hours to start launcher and workers": 0.3,
    "GB of memory for a vCPU (e2-standard)": 4,
    "vCPUs of a nightly run (10 workers)": 20,
}
_GB, _GIB, _TIB = 1e9, 2**30, 2**40
_SIZES = (("1 M", 1e6), ("100 M", 1e8), ("10 B", 1e10))


@dataclass(frozen=True)
class Night:
    """One incremental run at so many events a day. Money in USD."""

    events_a_day: float

    def _of(self, name: str) -> float:
        return ASSUMPTIONS[name]

    @property
    def events_read(self) -> float:
        """Event rows in the window."""
        return self.events_a_day * DAYS_READ

    @property
    def sessions_kept(self) -> float:
        """Rows of the session table, all of which are joined and compared."""
        return (
            self.events_a_day * self._of("Days of events and sessions in the tables") / self._of("Events of a session")
        )

    @property
    def table_bytes(self) -> float:
        """Size of all tables but the dead letters and the ledger."""
        persons = self.sessions_kept / self._of("Sessions of a person")
        others = self._of("Bytes of a session's rows in session_links, person_days and social_events")
        a_session = self._of("Bytes of a session row") + others
        return self.sessions_kept * a_session + persons * self._of("Bytes of a person row")

    @property
    def vcpu_hours(self) -> float:
        """Time of workers that is paid for."""
        seconds = (
            self.events_read * self._of("CPU seconds for a million events, read with DIRECT_READ")
            + self.sessions_kept * self._of("CPU seconds for a million old sessions, joined and compared")
        ) / 1e6
        start = self._of("vCPU hours to start launcher and workers")
        return start + seconds / 3600 / self._of("Share of a worker's time that is work")

    @property
    def hours(self) -> float:
        """How long the run takes."""
        return self.vcpu_hours / self._of("vCPUs of a nightly run (10 workers)")

    @property
    def workers(self) -> float:
        """vCPUs and their memory."""
        memory = self._of("GB of memory for a vCPU (e2-standard)")
        an_hour = PRICES["Dataflow batch, vCPU hour"] + memory * PRICES["Dataflow batch, GB of memory and hour"]
        return self.vcpu_hours * an_hour

    @property
    def shuffle(self) -> float:
        """Dataflow Shuffle."""
        moved = self.events_read * self._of("Bytes of an event in shuffles, in no order")
        moved += self.sessions_kept * self._of("Bytes of a session row in shuffles, two joins, packed")
        moved += self.sessions_kept * self._of("Bytes of the rows of these three in shuffles, packed (estimated: half)")
        times = self._of("Shuffled bytes are written and read: times")
        return moved * times / _GB * PRICES["Dataflow Shuffle, GB"]

    @property
    def reads(self) -> float:
        """Storage Read API: the window's events and the published tables."""
        read = self.events_read * self._of("Bytes of an event in the columns that are read") + self.table_bytes
        return read / _TIB * PRICES["BigQuery Storage Read API, TiB"]

    @property
    def queries(self) -> float:
        """The merge, billed for the whole target tables; late arrivals, looked up in two columns of all events."""
        late = self.events_a_day * self._of("Days of events and sessions in the tables") * 16
        return (self.table_bytes + late) / _TIB * PRICES["BigQuery query on demand, TiB"]

    @property
    def total(self) -> float:
        """A night."""
        return self.workers + self.shuffle + self.reads + self.queries

    @property
    def month(self) -> float:
        """Thirty nights and the storage of the tables."""
        return 30 * self.total + self.table_bytes / _GIB * PRICES["BigQuery active storage, GiB and month"]


def table() -> str:
    """The costs as Markdown."""
    nights = [Night(events) for _, events in _SIZES]
    rows = [
        ("event rows read a night", [_number(night.events_read) for night in nights]),
        ("session rows joined and compared", [_number(night.sessions_kept) for night in nights]),
        ("vCPU hours", [_decimals(night.vcpu_hours) for night in nights]),
        ("hours on 10 workers", [_decimals(night.hours) for night in nights]),
        ("workers", [_money(night.workers) for night in nights]),
        ("shuffle", [_money(night.shuffle) for night in nights]),
        ("Storage Read API", [_money(night.reads) for night in nights]),
        ("queries (merge, late arrivals)", [_money(night.queries) for night in nights]),
        ("**a night**", [f"**{_money(night.total)}**" for night in nights]),
        ("**a month, with storage**", [f"**{_money(night.month)}**" for night in nights]),
    ]
    head = "| events a day | " + " | ".join(name for name, _ in _SIZES) + " |"
    return "\n".join([head, "|---|---:|---:|---:|", *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)])


def prices_table() -> str:
    """The prices as Markdown."""
    rows = [f"| {name} | {price:g} |" for name, price in PRICES.items()]
    return "\n".join([f"| USD, europe-west1 and EU, {PRICES_SEEN} | price |", "|---|---:|", *rows])


def assumptions_table() -> str:
    """The assumptions as Markdown."""
    assumptions = {"Days of events that a night reads": DAYS_READ} | ASSUMPTIONS
    rows = [f"| {name} | {value:,} |" for name, value in assumptions.items()]
    return "\n".join(["| assumption | value |", "|---|---:|", *rows])


def _number(value: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.4g} {unit}"
    return f"{value:,.0f}"


def _decimals(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def _money(value: float) -> str:
    return f"${value:,.2f}" if value < 100 else f"${value:,.0f}"


if __name__ == "__main__":
    print("\n\n".join([prices_table(), assumptions_table(), table()]))
