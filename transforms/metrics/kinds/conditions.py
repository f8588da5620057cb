"""Which events a metric is about: what its entry says, as a condition that a decoder can check once a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

#: The property that stands for the event's own name, wherever a property is named.
EVENT_NAME = "event"
SCREEN_PROPERTY = "$screen_name"

Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
#: As long as a property's text can be (`transforms.events.properties.MAX_TEXT`).
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)] | bool | int | float
Where = Annotated[
    dict[Text, Value | Annotated[tuple[Value, ...], msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)
]


class Condition(NamedTuple):
    """What an event must be to match: all that is given; without anything every event matches."""

    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Properties, `EVENT_NAME` among them, and the texts that they may have."""
    name_contains: tuple[str, ...] = ()
    """Parts that its name must have, in any case."""
    property: str | None = None
    """A property that must be there."""

    def admits(self, name: str, text: str | None) -> bool:
        """Whether an event may match whose property `name` has this text."""
        if name == EVENT_NAME and self.name_contains:
            folded = (text or "").casefold()
            if not all(part.casefold() in folded for part in self.name_contains):
                return False
        return all(text in texts for asked, texts in self.where if asked == name)


#: Every event.
ALL = Condition()


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition on its own, as the steps of a sequence are."""

    events: Texts = ()
    name_contains: Texts = ()
    screens: Texts = ()
    property: Text | None = None
    where: Where = msgspec.field(default_factory=dict)

    def condition(self) -> Condition:
        """As a decoder checks it."""
        return condition(self.events, self.name_contains, self.screens, self.property, self.where)


def condition(
    events: tuple[str, ...],
    name_contains: tuple[str, ...],
    screens: tuple[str, ...],
    property: str | None,
    where: Mapping[str, Any],
) -> Condition:
    """The condition of an entry's keys; equal ones are equal whatever their order.

    Raises:
      ValueError: `where` has a number that is not finite.
    """
    asked = [(name, _texts(values if isinstance(values, list | tuple) else [values])) for name, values in where.items()]
    asked += [(name, _texts(texts)) for name, texts in ((EVENT_NAME, events), (SCREEN_PROPERTY, screens)) if texts]
    return Condition(tuple(sorted(asked)), name_contains, None if property == EVENT_NAME else property)


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Texts as they are, numbers and booleans as their JSON text, as the decoder has them; each once."""
    found = set()
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("wrong `where`")
        found.add(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return tuple(sorted(found))
