"""Which seat of an invite a join takes, and whom it replaces. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bridge.auth import Grant
from bridge.errors import NotAuthorised
from bridge.participant import Participant


def choose_seat(grant: Grant, sitting: Iterable[Participant], barred: Collection[int]) -> int:
    """The lowest free seat; without one the seat of who is away the longest; else of who joined first.

    Raises NotAuthorised (`inviteRevoked`) if moderators have removed people from every seat.
    """
    by_seat = {participant.seat: participant for participant in sitting}
    usable = [seat for seat in range(grant.seats) if seat not in barred]
    if not usable:
        raise NotAuthorised("This invite is not good any more.", "inviteRevoked")
    for seat in usable:
        if seat not in by_seat:
            return seat
    return min(usable, key=lambda seat: _staying(by_seat[seat]))


def _staying(participant: Participant) -> tuple[bool, int]:
    if participant.away_since_ms is not None:
        return (False, participant.away_since_ms)
    return (True, participant.joined_at_ms)
