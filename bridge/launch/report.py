"""What attendance comes to: by person, point and province, how many at once, and over time. Pure.

Encoders are devices: their point is there by them, but they are no people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from msgspec import Struct, field

from bridge.ids import InviteId, Role
from bridge.launch.book import EventPoint
from bridge.launch.points import PointFields
from bridge.launch.presences import Presence

STEPS_LIMIT = 480
LEAST_STEP_MS = 60_000
UNSEEN_FOR_MS = 120_000
"""Whoever is there is seen every half minute at least. Who is not is known to be there no more: the server died."""

_Key = TypeVar("_Key", bound=Hashable)


class Quality(Struct, rename="camel"):
    """Shares of the time for which the line was known."""

    good: float
    weak: float
    bad: float


class PersonRow(Struct, rename="camel"):
    """One name on one seat of one link."""

    province: str
    organisation: str
    point: str
    name: str
    role: str
    joined_at: int
    left_at: int | None
    minutes: float
    comings: int
    quality: Quality | None


class PointRow(Struct, rename="camel"):
    """One point, also one that never came."""

    id: str
    province: str
    organisation: str
    name: str
    people: int
    devices: int
    joined_at: int | None
    left_at: int | None
    minutes: float
    comings: int
    quality: Quality | None
    check: dict[str, Any] | None


class ProvinceRow(Struct, rename="camel"):
    """Points invited, points that came, people on them."""

    province: str
    invited: int
    came: int
    people: int
    minutes: float


class Peak(Struct, rename="camel"):
    """The most at once; `at` is when there were most people."""

    at: int | None
    points: int
    people: int


class Step(Struct, rename="camel"):
    """The most at once from then to the next step."""

    at_ms: int
    points: int
    people: int


class Report(Struct, rename="camel"):
    """As on the wire."""

    rows: list[PersonRow]
    by_province: list[ProvinceRow]
    by_point: list[PointRow]
    peak: Peak
    timeline: list[Step]
    from_: int | None = field(name="from")
    until: int | None
    devices: int


def report(
    presences: Sequence[Presence],
    points: Sequence[EventPoint],
    checks: Mapping[InviteId, dict[str, Any]],
    now_ms: int,
) -> Report:
    """Of one event. `points` are all that there ever were; who is there yet counts until now."""
    presences = [_as_seen(one, now_ms) for one in presences]
    by_invite = {point.invite.id: point for point in points}
    by_shown = {
        point.invite.point: point for point in sorted(points, key=lambda point: point.removed, reverse=True)
    }

    def point_of(presence: Presence) -> EventPoint | None:
        # A link that was replaced is not its point's any more.
        found = by_invite.get(presence.invite)
        return found if found is not None else by_shown.get(presence.point)

    def place_of(presence: Presence) -> str:
        """The same for all who are at one point; empty for who is at none."""
        if presence.role is not Role.SATELLITE:
            return ""
        point = point_of(presence)
        return presence.point or presence.invite if point is None else point.id

    persons = _grouped((one for one in presences if not one.device), _who)
    rows = [_person(those, point_of(those[0]), now_ms) for those in persons.values()]
    rows.sort(key=lambda row: (row.province, row.organisation, row.point, row.name))
    of_point = _grouped(
        (one for one in presences if point_of(one) is not None),
        lambda one: point.id if (point := point_of(one)) is not None else "",
    )
    by_point = [
        _point(point, of_point.get(point.id, []), checks.get(point.invite.id), now_ms)
        for point in points
        if not point.removed or point.id in of_point
    ]
    timeline, peak = _over_time(presences, place_of, now_ms)
    return Report(
        rows=rows,
        by_province=_provinces(by_point),
        by_point=by_point,
        peak=peak,
        timeline=timeline,
        from_=min((one.joined_at_ms for one in presences), default=None),
        until=max((_end_ms(one, now_ms) for one in presences), default=None),
        devices=_count(presences, device=True),
    )


def _as_seen(one: Presence, now_ms: int) -> Presence:
    """Of a server that died and has not started again: there until it was last seen."""
    is_open = one.left_at_ms is None and now_ms - one.seen_at_ms > UNSEEN_FOR_MS
    return replace(one, left_at_ms=max(one.joined_at_ms, one.seen_at_ms)) if is_open else one


def _person(those: Sequence[Presence], point: EventPoint | None, now_ms: int) -> PersonRow:
    last = max(those, key=lambda one: one.joined_at_ms)
    fields = PointFields("", "", last.point, "") if point is None else point.fields
    return PersonRow(
        province=fields.province,
        organisation=fields.organisation,
        point=fields.name,
        name=last.name,
        role=last.role.value,
        joined_at=min(one.joined_at_ms for one in those),
        left_at=_left_at(those),
        minutes=_minutes(those, now_ms),
        comings=len(those),
        quality=_quality(those),
    )


def _point(
    point: EventPoint, those: Sequence[Presence], check: dict[str, Any] | None, now_ms: int
) -> PointRow:
    return PointRow(
        id=point.id,
        province=point.fields.province,
        organisation=point.fields.organisation,
        name=point.fields.name,
        people=_count(those, device=False),
        devices=_count(those, device=True),
        joined_at=min((one.joined_at_ms for one in those), default=None),
        left_at=_left_at(those) if those else None,
        minutes=_minutes(those, now_ms),
        comings=len(those),
        quality=_quality(those),
        check=check,
    )


def _who(one: Presence) -> tuple[str, str]:
    return one.participant, one.name.casefold()


def _count(those: Iterable[Presence], *, device: bool) -> int:
    return len({_who(one) for one in those if one.device is device})


def _provinces(points: Iterable[PointRow]) -> list[ProvinceRow]:
    rows: dict[str, ProvinceRow] = {}
    for point in points:
        row = rows.setdefault(point.province, ProvinceRow(point.province, 0, 0, 0, 0.0))
        row.invited += 1
        row.came += point.joined_at is not None
        row.people += point.people
        row.minutes = round(row.minutes + point.minutes, 1)
    return sorted(rows.values(), key=lambda row: row.province)


def _over_time(
    presences: Sequence[Presence], place_of: Callable[[Presence], str], now_ms: int
) -> tuple[list[Step], Peak]:
    if not presences:
        return [], Peak(None, 0, 0)
    changes = sorted(_changes(presences, place_of, now_ms))
    begin_ms = changes[0][0]
    step_ms = LEAST_STEP_MS
    while (changes[-1][0] - begin_ms) // step_ms >= STEPS_LIMIT:
        step_ms += LEAST_STEP_MS
    steps = [
        Step(at_ms, 0, 0) for at_ms in range(begin_ms, changes[-1][0] + (changes[-1][0] == begin_ms), step_ms)
    ]
    peak, people, reached = Peak(begin_ms, 0, 0), 0, 0
    there: dict[str, int] = {}
    points = 0
    for at_ms, more, is_person, place in changes:
        while reached + 1 < len(steps) and steps[reached + 1].at_ms <= at_ms:
            reached += 1
            steps[reached].points, steps[reached].people = points, people
        people += more * is_person
        if place:
            there[place] = there.get(place, 0) + more
            points += (there[place] == 1) if more > 0 else -(there[place] == 0)
        step = steps[reached]
        step.points, step.people = max(step.points, points), max(step.people, people)
        if people > peak.people:
            peak.at, peak.people = at_ms, people
        peak.points = max(peak.points, points)
    return steps, peak


def _changes(
    presences: Iterable[Presence], place_of: Callable[[Presence], str], now_ms: int
) -> Iterable[tuple[int, int, bool, str]]:
    """Who goes at a moment goes before who comes then: a reload is not two people."""
    for one in presences:
        place = place_of(one)
        yield one.joined_at_ms, 1, not one.device, place
        yield max(one.joined_at_ms + 1, _end_ms(one, now_ms)), -1, not one.device, place


def _end_ms(one: Presence, now_ms: int) -> int:
    return max(one.joined_at_ms, now_ms) if one.left_at_ms is None else one.left_at_ms


def _left_at(those: Sequence[Presence]) -> int | None:
    ends = [one.left_at_ms for one in those]
    return None if None in ends else max(end for end in ends if end is not None)


def _minutes(those: Iterable[Presence], now_ms: int) -> float:
    return round(sum(_end_ms(one, now_ms) - one.joined_at_ms for one in those) / 60_000, 1)


def _quality(those: Sequence[Presence]) -> Quality | None:
    sums = [sum(getattr(one, name) for one in those) for name in ("good_ms", "weak_ms", "bad_ms")]
    if not (known_ms := sum(sums)):
        return None
    return Quality(*(round(each / known_ms, 3) for each in sums))


def _grouped(presences: Iterable[Presence], key: Callable[[Presence], _Key]) -> dict[_Key, list[Presence]]:
    groups: dict[_Key, list[Presence]] = defaultdict(list)
    for presence in presences:
        groups[key(presence)].append(presence)
    return groups
