"""What sessions are told of their studies: what is new or grows, not too often, and once more when it rests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog

from bridge.ids import SessionId
from bridge.imaging.catalogue import Belonging, Catalogue
from bridge.messages import StudyObject
from bridge.studynews import ARRIVING_MS, TOLD_EVERY_MS, StudyNews, shown_name
from tests.catalogued import HERE, arrive, entry, opened_catalogue
from tests.fakes import Clock

THERE = SessionId("there")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with opened_catalogue(tmp_path) as catalogue:
        yield catalogue


@pytest.fixture
def news(catalogue: Catalogue, clock: Clock) -> StudyNews:
    news = StudyNews(clock)
    news.follow(catalogue)
    return news


def told(news: StudyNews) -> list[tuple[SessionId, int, bool]]:
    return [(session, study.instances, study.arriving) for session, study in news.due().changed]


def test_study_that_comes_is_told_to_its_session_only(catalogue: Catalogue, news: StudyNews) -> None:
    arrive(catalogue, "study1", 1)
    arrive(catalogue, "study-of-nobody", 1, None)
    ((session, study),) = news.due().changed
    assert session == HERE
    assert study == StudyObject(
        uid="1.2.6",
        modalities=("CT",),
        description="CT ngực",
        patient="NGUYEN Van An",
        date="20261122",
        series=1,
        instances=1,
        expected=None,
        arriving=True,
        point="Trạm Mai Sơn",
        received_at=1000,
    )
    assert news.of(HERE) == (study,)
    assert news.of(THERE) == ()


def test_growing_study_is_told_twice_a_second_and_once_more_at_rest(
    catalogue: Catalogue, news: StudyNews, clock: Clock
) -> None:
    heard = []
    for instances in range(1, 31):  # three seconds
        arrive(catalogue, "study1", instances)
        heard += told(news)
        clock.now_ms += 100
    assert len(heard) == 3000 // TOLD_EVERY_MS
    clock.now_ms += TOLD_EVERY_MS
    assert told(news) == [(HERE, 30, True)]
    catalogue.settle(entry("study1", 30))
    clock.now_ms += TOLD_EVERY_MS
    assert told(news) == []
    clock.now_ms += ARRIVING_MS
    assert told(news) == [(HERE, 30, False)]
    clock.now_ms += ARRIVING_MS
    assert told(news) == []


def test_what_was_there_before_is_listed_and_no_news(catalogue: Catalogue, clock: Clock) -> None:
    arrive(catalogue, "study1", 5)
    arrive(catalogue, "study22", 6)
    news = StudyNews(clock)
    news.follow(catalogue)
    assert told(news) == []
    assert [(study.instances, study.arriving) for study in news.of(HERE)] == [(6, False), (5, False)]
    catalogue.refresh()
    arrive(catalogue, "study1", 5)
    assert [study for study in told(news) if study[2]] == []


def test_announced_number_is_told_until_more_has_come(
    catalogue: Catalogue, news: StudyNews, clock: Clock
) -> None:
    news.announce(HERE, "1.2.6", 3)
    news.announce(THERE, "1.2.6", 99)
    for instances, expected in ((1, 3), (3, 3), (4, None)):
        arrive(catalogue, "study1", instances)
        clock.now_ms += TOLD_EVERY_MS
        ((_, study),) = news.due().changed
        assert study.expected == expected


def test_study_that_is_shredded_or_moved_leaves_the_list_of_its_session(
    catalogue: Catalogue, news: StudyNews, clock: Clock
) -> None:
    arrive(catalogue, "study1", 5)
    arrive(catalogue, "study22", 5)
    news.due()
    clock.now_ms += TOLD_EVERY_MS
    catalogue.forget("study1")
    catalogue.assign("study22", Belonging(THERE, ""))
    due = news.due()
    assert due.relisted == {HERE}
    assert [session for session, _ in due.changed] == [THERE]
    assert (news.of(HERE), len(news.of(THERE))) == ((), 1)


def test_session_whose_studies_are_gone_leaves_nothing_behind(
    catalogue: Catalogue, news: StudyNews, clock: Clock
) -> None:
    for number in range(3):
        arrive(catalogue, f"study{number}" + "x" * number, 1, SessionId(f"session{number}"))
    news.due()
    clock.now_ms += TOLD_EVERY_MS
    for number in range(3):
        catalogue.forget(f"study{number}" + "x" * number)
    assert len(news.due().relisted) == 3
    assert news._of_session == {}
    assert news._known == {}


def test_study_that_cannot_be_told_keeps_no_other_from_being_told(
    catalogue: Catalogue, news: StudyNews, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    belonging = catalogue.belonging
    failures = 0

    def fail(study: str) -> Belonging:
        nonlocal failures
        if study == "study1":
            failures += 1
            raise RuntimeError("of this study")
        return belonging(study)

    for study in ("study1", "study22"):
        arrive(catalogue, study, 1)
    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "belonging", fail)
        with structlog.testing.capture_logs() as logs:
            assert [study.uid for _, study in news.due().changed] == ["1.2.7"]
            clock.now_ms += TOLD_EVERY_MS
            assert told(news) == []
    assert failures == 2
    assert [(line["event"], line["study"]) for line in logs] == [("study.news_failed", "study1")]
    # Once the trouble is over it is told without another change.
    clock.now_ms += TOLD_EVERY_MS
    assert [study.uid for _, study in news.due().changed] == ["1.2.6"]


def test_vault_id_is_told_of_studies_of_the_session_only(catalogue: Catalogue, news: StudyNews) -> None:
    arrive(catalogue, "study1", 1)
    news.due()
    assert news.vault_id(HERE, "1.2.6") == "study1"
    assert news.vault_id(THERE, "1.2.6") == ""
    assert news.vault_id(HERE, "9.9") == ""


def test_nothing_is_lost_of_what_many_threads_bring(
    catalogue: Catalogue, news: StudyNews, clock: Clock
) -> None:
    def bring(thread: int) -> None:
        for instances in range(1, 51):
            arrive(catalogue, "s" * (thread + 1), instances)

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        clock.now_ms += 10
        news.due()
    for thread in threads:
        thread.join()
    clock.now_ms += TOLD_EVERY_MS
    news.due()
    assert [study.instances for study in news.of(HERE)] == [50] * 4
    clock.now_ms += ARRIVING_MS + TOLD_EVERY_MS
    news.due()
    assert not any(study.arriving for study in news.of(HERE))


@pytest.mark.parametrize(
    ("person", "shown"),
    [
        ("NGUYEN^VAN^AN", "NGUYEN VAN AN"),
        ("Nguyễn Văn An", "Nguyễn Văn An"),
        ("Иванова^Анна^Петровна^^", "Иванова Анна Петровна"),
        ("=山田^太郎=やまだ^たろう", "山田 太郎"),
        ("^^^", ""),
        ("", ""),
    ],
)
def test_names_are_shown_as_people_write_them(person: str, shown: str) -> None:
    assert shown_name(person) == shown


def test_entries_of_the_catalogue_are_what_is_listened_to(catalogue: Catalogue) -> None:
    heard: list[str] = []
    catalogue.listen(heard.append)
    arrive(catalogue, "study1", 1)
    catalogue.settle(msgspec.structs.replace(entry("study1", 2)))
    catalogue.forget("study1")
    assert heard == ["study1"] * 4
