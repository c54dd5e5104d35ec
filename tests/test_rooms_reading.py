"""Reading together in a session: who may, who leads, who is told what, and what the recording keeps of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.ids import RecordMode, Role
from bridge.imaging.access import Visitor
from bridge.imaging.catalogue import Belonging
from bridge.media.contract import Description
from bridge.messages import Wish
from bridge.participant import VIEW_BURST_BYTES, VIEW_BYTES_PER_S, Participant
from bridge.policy import reads
from bridge.reading import SLOTS_LIMIT, Progress
from bridge.readingdesk import LEADER_LOST_MS, READERS_AT_ONCE, READERS_TOLD_EVERY_MS
from bridge.recordings import layout
from bridge.studynews import TOLD_EVERY_MS
from tests.catalogued import arrive, opened_catalogue
from tests.fakes import Client, House, a_house

NEWS = ("studiesListed", "studyChanged", "readingChanged", "viewChanged", "readersChanged")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


def lead(client: Client) -> tuple[str | None, list[str]]:
    """Who leads and who asks, as it was told last."""
    told = client.take("readingChanged")[-1]
    return told["leader"], told["asking"]


def views(client: Client) -> list[dict[str, Any]]:
    return client.take("viewChanged")


@pytest.mark.parametrize("role", Role)
async def test_who_may_read_is_who_may_see_studies(house: House, role: Role) -> None:
    visitor = Visitor("invite:x", house.session, role, "")
    assert reads(role) is visitor.may_see(Belonging(house.session, ""))
    _, client = await house.join(role)
    assert ("read" in client.joined["permissions"]) is reads(role)


async def test_viewer_asks_for_nothing_and_hears_nothing(house: House) -> None:
    viewer, audience = await house.join(Role.VIEWER)
    hub, _ = await house.join(Role.HUB)
    desk = house.rooms.readings
    for ask in (
        lambda: desk.ask_lead(viewer, True, None),
        lambda: desk.give_lead(viewer, hub.id),
        lambda: desk.set_view(viewer, {"at.0": 1}),
        lambda: desk.report(viewer, Progress(True)),
    ):
        with refused("notAllowed"):
            ask()
    desk.ask_lead(hub, True, None)
    with refused("conflict"):
        desk.give_lead(hub, viewer.id)
    desk.set_view(hub, {"study": "1.2", "at.0": 1})
    desk.report(hub, Progress(True, 1, 1, 1))
    house.rooms.give_floor(hub, viewer.id)
    await house.pass_time(2 * READERS_TOLD_EVERY_MS)
    house.rooms.catch_up(viewer)
    assert audience.take(*NEWS) == []


async def test_encoder_neither_leads_nor_is_led(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    wishes = [Wish(mid="0", source="ultrasound")]
    device, _ = await house.rooms.join_device(
        await house.grant(Role.SATELLITE), "Machine", Description("offer"), wishes
    )
    house.rooms.readings.ask_lead(hub, True, None)
    with refused("conflict"):
        house.rooms.readings.give_lead(hub, device.id)


async def test_view_goes_to_all_readers_but_who_made_it(house: House) -> None:
    hub, own = await house.join(Role.HUB)
    _, clinic = await house.join(Role.SATELLITE)
    _, other = await house.join(Role.ORGANISER)
    house.rooms.readings.ask_lead(hub, True, None)
    house.rooms.readings.set_view(hub, {"study": "1.2.3", "at.0": 4})
    house.rooms.readings.set_view(hub, {"at.0": 5, "pointer": [0, 10.5, 20]})
    told = views(clinic)
    assert (
        told
        == views(other)
        == [
            {"type": "viewChanged", "by": hub.id, "changes": {"study": "1.2.3", "at.0": 4}, "whole": True},
            {
                "type": "viewChanged",
                "by": hub.id,
                "changes": {"at.0": 5, "pointer": [0, 10.5, 20]},
                "whole": False,
            },
        ]
    )
    assert views(own) == []


async def test_view_that_is_as_it_was_is_told_to_nobody(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    _, clinic = await house.join(Role.SATELLITE)
    house.rooms.readings.ask_lead(hub, True, None)
    house.rooms.readings.set_view(hub, {"study": "1.2.3", "at.0": 4})
    views(clinic)
    absent = dict.fromkeys(f"mark.{number}" for number in range(SLOTS_LIMIT))
    house.rooms.readings.set_view(hub, {"study": "1.2.3", "at.0": 4, **absent})
    assert views(clinic) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"mark.a": "x" * 3000}, "tooLarge"), ({"NO SLOT": 1}, "malformed"), ({"at.0": 9}, "notAllowed")],
)
async def test_who_is_refused_is_told_what_the_others_see(
    house: House, changes: dict[str, Any], code: str
) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, own = await house.join(Role.SATELLITE)
    desk = house.rooms.readings
    desk.ask_lead(clinic, True, None)
    desk.set_view(clinic, {"study": "1.2.3", "at.0": 4})
    if code == "notAllowed":
        desk.give_lead(hub, hub.id)
    own.take()
    with refused(code):
        desk.set_view(clinic, changes)
    # Not before the refusal, which says why.
    assert views(own) == []
    await house.settle()
    assert views(own) == [
        {
            "type": "viewChanged",
            "by": clinic.id,
            "changes": {"study": "1.2.3", "at.0": 4},
            "whole": True,
        }
    ]


async def test_who_leads_cannot_fill_the_lines_of_the_others(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    _, clinic = await house.join(Role.SATELLITE)
    house.rooms.readings.ask_lead(hub, True, None)
    asked = told_bytes = 0
    refusals: list[str] = []
    for second in range(10):
        for number in range(25):
            changes = {f"mark.{slot}": f"{second}/{number}" + "x" * 1900 for slot in range(30)}
            asked += 1
            try:
                house.rooms.readings.set_view(hub, changes)
            except BridgeError as error:
                refusals.append(error.code)
        told_bytes += sum(len(str(each["changes"])) for each in views(clinic))
        await house.pass_time(1000)
    assert set(refusals) == {"tooMany"}
    assert asked - len(refusals) >= 10 * VIEW_BYTES_PER_S / 60_000
    assert told_bytes <= 1.1 * (VIEW_BURST_BYTES + 10 * VIEW_BYTES_PER_S)
    # A hand on the wheel goes on a moment later.
    await house.pass_time(1000)
    house.rooms.readings.set_view(hub, {"at.0": 1})


async def test_late_comer_and_who_resumes_get_the_whole_state(house: House) -> None:
    hub, own = await house.join(Role.HUB)
    house.rooms.readings.ask_lead(hub, True, None)
    house.rooms.readings.set_view(hub, {"study": "1.2.3", "at.0": 4})
    house.rooms.readings.report(hub, Progress(True, 3, 2, 3))
    clinic, late = await house.join(Role.SATELLITE, caught_up=False)
    house.rooms.catch_up(clinic)
    expected = [
        {"type": "readingChanged", "leader": hub.id, "asking": []},
        {"type": "viewChanged", "by": hub.id, "changes": {"study": "1.2.3", "at.0": 4}, "whole": True},
        {
            "type": "readersChanged",
            "readers": [
                {"participant": hub.id, "following": True, "preview": 3, "sharp": 2, "total": 3},
            ],
        },
    ]
    assert late.take(*NEWS) == expected
    house.rooms.disconnected(hub, own)
    again = Client()
    entry = await house.rooms.resume(own.joined["resumeToken"], own.joined["seq"], again)
    house.rooms.catch_up(entry.participant)
    assert again.take(*NEWS) == expected


@pytest.fixture
async def three(house: House) -> list[tuple[Participant, Client]]:
    """A satellite that leads, another one, and the hub."""
    people = [await house.join(role) for role in (Role.SATELLITE, Role.SATELLITE, Role.HUB)]
    house.rooms.readings.ask_lead(people[0][0], True, None)
    return people


async def test_satellites_ask_and_are_given_the_lead_by_who_has_it(
    house: House, three: list[tuple[Participant, Client]]
) -> None:
    (leader, own), (other, others), (hub, _) = three
    desk = house.rooms.readings
    with refused("notAllowed"):
        desk.set_view(other, {"at.0": 1})
    with refused("notAllowed"):
        desk.give_lead(other, other.id)
    desk.ask_lead(other, True, None)
    assert lead(own) == (leader.id, [other.id])
    with refused("notAllowed"):
        desk.ask_lead(other, False, leader.id)
    with refused("notAllowed"):
        desk.ask_lead(leader, True, other.id)
    desk.ask_lead(leader, False, other.id)
    assert lead(others) == (leader.id, [])
    desk.ask_lead(other, True, None)
    desk.give_lead(leader, other.id)
    assert lead(own) == (other.id, [])
    with refused("notAllowed"):
        desk.set_view(leader, {"at.0": 1})
    desk.set_view(other, {"at.0": 1})
    with refused("notFound"):
        desk.give_lead(other, "nobody")
    assert hub.id not in lead(others)


async def test_moderator_takes_the_lead_for_itself_or_for_nobody(
    house: House, three: list[tuple[Participant, Client]]
) -> None:
    (leader, own), (other, _), (hub, _) = three
    house.rooms.readings.give_lead(hub, hub.id)
    assert lead(own) == (hub.id, [])
    house.rooms.readings.give_lead(hub, other.id)
    house.rooms.readings.give_lead(hub, None)
    assert lead(own) == (None, [])
    house.rooms.readings.ask_lead(leader, True, None)
    assert lead(own) == (leader.id, [])


async def test_leader_who_leaves_hands_over_to_who_waits_and_the_view_stays(
    house: House, three: list[tuple[Participant, Client]]
) -> None:
    (leader, _), (other, others), (hub, _) = three
    house.rooms.readings.set_view(leader, {"study": "1.2.3", "at.0": 4})
    house.rooms.readings.ask_lead(other, True, None)
    house.rooms.leave(leader)
    await house.pass_time(100)
    assert lead(others) == (other.id, [])
    house.rooms.leave(other)
    late, client = await house.join(Role.SATELLITE, caught_up=False)
    house.rooms.catch_up(late)
    told = client.take(*NEWS)
    assert (told[0]["leader"], told[1]["changes"]) == (None, {"study": "1.2.3", "at.0": 4})
    assert hub.connected


async def test_leader_who_is_lost_leads_on_if_back_in_time_and_else_no_more(
    house: House, three: list[tuple[Participant, Client]]
) -> None:
    (leader, own), (other, others), _ = three
    house.rooms.readings.ask_lead(other, True, None)
    house.rooms.disconnected(leader, own)
    await house.pass_time(LEADER_LOST_MS - 200)
    assert lead(others) == (leader.id, [other.id])
    again = Client()
    entry = await house.rooms.resume(own.joined["resumeToken"], own.joined["seq"], again)
    await house.pass_time(LEADER_LOST_MS)
    assert others.take("readingChanged") == []
    house.rooms.disconnected(entry.participant, again)
    await house.pass_time(LEADER_LOST_MS + 200)
    assert lead(others) == (other.id, [])


async def test_leader_who_reloads_leads_on(house: House) -> None:
    grant = await house.grant(Role.HUB)
    hub, own = await house.join(grant)
    _, clinic = await house.join(Role.SATELLITE)
    house.rooms.readings.ask_lead(hub, True, None)
    house.rooms.readings.report(hub, Progress(True, 3, 3, 3))
    house.rooms.disconnected(hub, own)
    again, _ = await house.join(grant)
    await house.pass_time(LEADER_LOST_MS + 1000)
    told = clinic.take("readingChanged", "readersChanged")
    assert [each["leader"] for each in told if each["type"] == "readingChanged"] == [again.id]
    assert [each["readers"] for each in told if each["type"] == "readersChanged"][-1] == []
    house.rooms.readings.set_view(again, {"at.0": 1})


async def test_stranger_on_the_seat_of_who_led_does_not_lead(house: House) -> None:
    grant = await house.grant(Role.SATELLITE, seats=2)
    hub, client = await house.join(Role.HUB)
    people = [await house.join(grant) for _ in range(3)]
    seat = people[2][0].id
    house.rooms.readings.give_lead(hub, seat)
    for _ in range(2):
        await house.join(grant)
    await house.pass_time(100)
    assert lead(client) == (None, [])


async def test_withdrawn_invite_takes_the_lead_with_it(house: House) -> None:
    grant = await house.grant(Role.SATELLITE)
    clinic, _ = await house.join(grant)
    _, hub = await house.join(Role.HUB)
    house.rooms.readings.ask_lead(clinic, True, None)
    await house.rooms.revoke_invite(house.session, grant.invite)
    await house.pass_time(100)
    assert lead(hub) == (None, [])
    with refused("notFound"):
        house.rooms.readings.set_view(clinic, {"at.0": 1})


async def test_readers_are_told_together_and_not_too_often(house: House) -> None:
    hub, own = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    heard = []
    for count in range(30):
        house.rooms.readings.report(hub, Progress(True, count, count, 30))
        house.rooms.readings.report(clinic, Progress(False, count, 0, 30))
        await house.pass_time(100)
        heard += own.take("readersChanged")
    assert len(heard) <= 3000 // READERS_TOLD_EVERY_MS + 1
    await house.pass_time(READERS_TOLD_EVERY_MS)
    newest = [*heard, *own.take("readersChanged")][-1]["readers"]
    assert [reader["preview"] for reader in newest] == [29, 29]
    house.rooms.readings.report(hub, None)
    house.rooms.leave(clinic)
    await house.pass_time(2 * READERS_TOLD_EVERY_MS)
    assert own.take("readersChanged")[-1]["readers"] == []


async def test_many_readers_are_told_less_often(tmp_path: Path) -> None:
    async with a_house(tmp_path, capacity=200) as house:
        people = [await house.join(Role.SATELLITE) for _ in range(4 * READERS_AT_ONCE)]
        heard = 0
        for count in range(40):
            for participant, _ in people:
                house.rooms.readings.report(participant, Progress(True, count, count, 100))
            await house.pass_time(100)
            heard += len(people[0][1].take("readersChanged"))
        assert 2 <= heard <= 4000 // (4 * READERS_TOLD_EVERY_MS) + 1


async def test_recording_keeps_who_led_also_of_what_went_before(tmp_path: Path) -> None:
    async with a_house(tmp_path, record=RecordMode.MANUAL) as house:
        hub, _ = await house.join(Role.HUB, "Dr Hải")
        clinic, _ = await house.join(Role.SATELLITE, "Trạm")
        house.rooms.readings.ask_lead(hub, True, None)
        house.rooms.records.start(hub)
        house.rooms.readings.give_lead(hub, clinic.id)
        house.rooms.leave(clinic)
        await house.pass_time(100)
        told = house.recorder.newest.of(layout.LeadChanged)
        assert [(event.participant, event.name) for event in told] == [
            (hub.id, "Dr Hải"),
            (clinic.id, "Trạm"),
            ("", ""),
        ]


async def test_recording_does_not_name_a_leader_who_has_not_agreed(tmp_path: Path) -> None:
    async with a_house(tmp_path, consent=True) as house:
        hub, _ = await house.join(Role.HUB, "Dr Hải")
        house.rooms.records.start(hub)
        house.rooms.readings.ask_lead(hub, True, None)
        (told,) = house.recorder.newest.of(layout.LeadChanged)
        assert (told.participant, told.name) == (hub.id, "")


async def test_recording_keeps_which_study_was_shown_also_if_it_came_later(tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    with opened_catalogue(tmp_path / "catalogue") as catalogue:
        async with a_house(tmp_path) as house:
            house.studies.follow(catalogue)
            hub, _ = await house.join(Role.HUB, "Dr Hải")
            house.rooms.records.start(hub)
            house.rooms.readings.ask_lead(hub, True, None)
            # Shown by a page that knows it already, to a session that it is given to a moment later.
            arrive(catalogue, "study1", 1, None)
            house.rooms.readings.set_view(hub, {"study": "1.2.6"})
            await house.pass_time(2 * TOLD_EVERY_MS)
            assert house.recorder.newest.of(layout.StudyShown) == []
            arrive(catalogue, "study1", 1, house.session)
            await house.pass_time(2 * TOLD_EVERY_MS)
            house.rooms.readings.set_view(hub, {"at.0": 1})
            catalogue.forget("study1")
            await house.pass_time(2 * TOLD_EVERY_MS)
            told = house.recorder.newest.of(layout.StudyShown)
            assert [(event.name, event.study) for event in told] == [("Dr Hải", "study1"), ("Dr Hải", "")]
