"""The run of show of an event: what comes after what, for how long, and where it stands. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from bridge import policy
from bridge.errors import LimitExceeded, NotFound, ProtocolError
from bridge.ids import new_id

ITEMS_LIMIT = 100
TITLE_LIMIT = 200
LONGEST_MIN = 1440

ItemKind = Literal["speech", "consult", "questions", "break"]
ItemState = Literal["planned", "now", "done"]


class Item(Struct, rename="camel", forbid_unknown_fields=True):
    """One item, as on the wire and as stored. `id` is empty until the server gave it one."""

    kind: ItemKind
    title: Annotated[str, Meta(min_length=1, max_length=TITLE_LIMIT)]
    minutes: Annotated[int, Meta(ge=0, le=LONGEST_MIN)]
    point: Annotated[str, Meta(max_length=32)] | None = None
    state: ItemState = "planned"
    id: Annotated[str, Meta(max_length=32, pattern="^[a-z0-9]*$")] = ""


def checked(items: Sequence[Item], points: Collection[str]) -> tuple[Item, ...]:
    """As it will be stored. Raises ProtocolError, LimitExceeded (`tooLarge`), NotFound for a point that is not one of
    the event's."""
    if len(items) > ITEMS_LIMIT:
        raise LimitExceeded(f"A run of show has at most {ITEMS_LIMIT} items.", "tooLarge")
    if sum(item.state == "now" for item in items) > 1:
        raise ProtocolError("Only one item can be going on.")
    kept: list[Item] = []
    used: set[str] = set()
    for item in items:
        if item.point is not None and item.point not in points:
            raise NotFound("A point of the run of show is not one of the event's.")
        id = item.id if item.id and item.id not in used else new_id()
        used.add(id)
        title = policy.clean_name(item.title)
        if len(title) > TITLE_LIMIT:
            # Some letters are longer once they are normalised; what is stored must be readable again.
            raise LimitExceeded(f"A title has at most {TITLE_LIMIT} characters.", "tooLarge")
        kept.append(structs.replace(item, id=id, title=title))
    return tuple(kept)
