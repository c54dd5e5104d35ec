"""The numbered changes that are kept for resuming."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from bridge.errors import NotFound
from bridge.participant import HISTORY_LIMIT, HISTORY_MS, Journal


def change(text: str) -> bytes:
    return json.dumps({"type": "chatSent", "text": text}).encode()


def test_journal_gives_what_was_missed_with_the_numbers_it_was_told_by() -> None:
    journal = Journal()
    told = [journal.append(change(str(number)), 0) for number in range(5)]
    assert journal.since(2) == tuple(told[2:])
    assert [json.loads(data)["seq"] for data in told] == [1, 2, 3, 4, 5]
    assert journal.since(5) == ()


@pytest.mark.parametrize(("changes", "at_ms"), [(HISTORY_LIMIT + 1, 0), (2, HISTORY_MS + 1)])
def test_journal_forgets_what_is_too_much_or_too_old(changes: int, at_ms: int) -> None:
    journal = Journal()
    journal.append(change("first"), 0)
    for _ in range(changes):
        journal.append(change("later"), at_ms)
    with pytest.raises(NotFound):
        journal.since(0)
    kept = min(changes, HISTORY_LIMIT)
    assert len(journal.since(journal.seq - kept)) == kept


def test_journals_of_many_share_what_all_were_told() -> None:
    journals = [Journal() for _ in range(100)]
    tracemalloc.start()
    try:
        for number in range(20):
            line = change(str(number) * 8000)
            for journal in journals:
                journal.append(line, 0)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 20 * 16_000 + 100 * 20 * 400
