"""What of a run's counts deserves a look: read in one way, for the summary, the report and the checks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from transforms.events.outcomes import MATCHING, NULLED
from transforms.sessions.owners import DIFFERS, OF_POSTHOG

#: Of so many kept rows some match every metric that is declared for a living event.
ENOUGH = 1_000


def differing(counts: Mapping[str, int]) -> dict[str, int]:
    """Column → the sessions of which PostHog's own table says something else; without those in which none differs."""
    found = {name.removeprefix(OF_POSTHOG): number for name, number in counts.items() if name.startswith(OF_POSTHOG)}
    return {name.removesuffix(DIFFERS): number for name, number in found.items() if number and name.endswith(DIFFERS)}


def silent(counts: Mapping[str, int], kept: int) -> list[str]:
    """The metrics that no event matches, by name; none where fewer than `ENOUGH` rows were kept, which says nothing."""
    if kept < ENOUGH:
        return []
    return sorted(
        name.removeprefix(MATCHING) for name, number in counts.items() if name.startswith(MATCHING) and not number
    )


def nulled(counts: Mapping[str, int]) -> int:
    """How many values of properties are null because of what they were."""
    return sum(number for name, number in counts.items() if name.startswith(NULLED))
