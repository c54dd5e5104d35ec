"""What of names and texts is shown to others, and which layers are wanted of whom."""

from __future__ import annotations

import pytest

from bridge import policy
from bridge.errors import ProtocolError
from bridge.ids import SessionFormat
from bridge.media.contract import Source
from bridge.policy import clean_name, clean_text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("  Bác sĩ\r\n Hoa ", "Bác sĩ Hoa"),
        ("Ba\u0301c si\u0303", "Bác sĩ"),
        ("Дежурный врач №3", "Дежурный врач №3"),
        ("Dr \u202eHub\u2066", "Dr Hub"),
        ("Dr Hub\u200d", "Dr Hub"),
        ("\u200cDr \u200dHub", "Dr Hub"),
        ("Dr H\u200du\ufe0fb", "Dr Hub"),
        ("Dr\u3164 \u2800 Hub\u00ad\u034f", "Dr Hub"),
        ("👩\u200d⚕\ufe0f Lan", "👩\u200d⚕\ufe0f Lan"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
    ],
)
def test_two_names_that_look_alike_are_alike(said: str, shown: str) -> None:
    assert clean_name(said) == shown


@pytest.mark.parametrize("name", [" ", "\u200d", "\u3164\u3164", "\u2800", "\ufe0f", "\u0301", "-", "\u0000"])
def test_name_of_which_nothing_is_seen_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        clean_name(name)


def test_text_keeps_its_lines_and_nothing_unseen() -> None:
    said = "  a\r\nb\u2028c \x1b[31m\u202ed\u0000\n\n e "
    assert clean_text(said) == "a\nb\nc [31md\n\n e"


@pytest.mark.parametrize("text", ["\n \n", "\u200d", "\u202e\x00"])
def test_text_of_which_nothing_is_seen_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        clean_text(text)


@pytest.mark.parametrize(
    ("session_format", "source", "seen", "wanted"),
    [
        (SessionFormat.EVENT, Source.CAMERA, False, ("l",)),
        (SessionFormat.EVENT, Source.CAMERA, True, ("l", "m", "h")),
        (SessionFormat.EVENT, Source.ULTRASOUND, False, ()),
        (SessionFormat.EVENT, Source.SCREEN, False, ()),
        (SessionFormat.EVENT, Source.MICROPHONE, False, ("l", "m", "h")),
        (SessionFormat.CONSULT, Source.ULTRASOUND, False, ("l", "m", "h")),
    ],
)
def test_only_a_small_picture_is_wanted_of_who_is_seen_by_nobody(
    session_format: SessionFormat, source: Source, seen: bool, wanted: tuple[str, ...]
) -> None:
    assert policy.layers_wanted(session_format, source, ("l", "m", "h"), seen=seen) == wanted
