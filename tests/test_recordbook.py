"""The book of recordings: what can never be written does not keep back what comes after it."""

from __future__ import annotations

from pathlib import Path

from bridge.audit import Entry, Event
from bridge.ids import RecordingId, RecordingState, SessionId
from bridge.recordbook import RecordBook
from bridge.recordings.endings import Ending
from bridge.store import RecordingRecord
from tests.recordings.keeping import NOW_MS, open_keeping


async def test_a_row_that_can_never_be_written_does_not_keep_back_the_rest(tmp_path: Path) -> None:
    async with open_keeping(tmp_path) as keeping:
        book = RecordBook(keeping.store, keeping.audit.record, lambda _: Ending(None, paused=False))
        book.start()
        lost, kept = (
            RecordingRecord(RecordingId(id), session, RecordingState.RUNNING, NOW_MS)
            for id, session in (
                ("lostlostlostlos2", SessionId("nosuchsession")),
                ("keptkept", keeping.session.id),
            )
        )
        for row in (lost, kept):
            book.begun(row, Entry(Event.OBJECT_CREATED, "system", f"recording/{row.id}"))
        book.closed(lost)
        await book.settle()
        assert await keeping.store.recording_ids() == {kept.id}
        # That somebody began it stays written down.
        assert [line["on"] for line in keeping.audited() if line["event"] == "objectCreated"] == [
            "recording/lostlostlostlos2",
            "recording/keptkept",
        ]
        await book.stop()
