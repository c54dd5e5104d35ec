"""What is done to stored objects behind the vault's back: it is noticed and named, and the rest stays readable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.vault import Finding, ObjectKind, ObjectRef, Trouble, Vault, VaultError

PARTS = 6
"""With content, in each of two streams of each of two objects; an end comes after them."""


@dataclass(frozen=True, repr=False)
class Shelf:
    """Two sealed objects, to be damaged and put right again."""

    vault: Vault
    refs: tuple[ObjectRef, ObjectRef]
    folder: Path
    whole: dict[Path, bytes]

    def path(self, object: int = 0, stream: int = 1) -> Path:
        return self.folder / self.refs[object].id / f"{stream:08}.parts"

    def frames(self, object: int = 0, stream: int = 1) -> list[bytes]:
        """The bytes of each part, the end last."""
        content = self.whole[self.path(object, stream)]
        sizes = [84 + len(note(number)) + len(body(object, stream, number)) for number in range(PARTS)]
        starts = [sum(sizes[:number]) for number in range(PARTS + 1)]
        return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]

    def mend(self) -> None:
        for path, content in self.whole.items():
            path.write_bytes(content)

    def found(self) -> list[Finding]:
        return list(self.vault.verify(self.refs[0]))

    def readable(self) -> set[int]:
        """Numbers of the first stream's parts that can be read; what they hold is checked."""
        numbers = set()
        with self.vault.open(self.refs[0]).stream(1) as reader:
            for part in reader.parts:
                try:
                    content = reader.read(part.number)
                except VaultError:
                    continue
                assert (content, part.note) == (body(0, 1, part.number), note(part.number))
                numbers.add(part.number)
        return numbers


def note(number: int) -> bytes:
    return bytes(number)


def body(object: int, stream: int, number: int) -> bytes:
    return bytes([object, stream, number]) * (20 + number)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    data = tmp_path_factory.mktemp("shelf")
    vault = Vault(data)
    refs = []
    for index in range(2):
        writer = vault.create(ObjectKind.RECORDING)
        for stream in (1, 2):
            with writer.new_stream() as parts:
                for number in range(PARTS):
                    parts.append(body(index, stream, number), note(number))
                parts.end()
        writer.seal()
        refs.append(writer.ref)
    folder = data / "recordings"
    whole = {path: path.read_bytes() for path in folder.rglob("*.parts")}
    return Shelf(vault, (refs[0], refs[1]), folder, whole)


@pytest.fixture(autouse=True)
def _mended(shelf: Shelf) -> None:
    shelf.mend()


many = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
part_numbers = st.integers(0, PARTS - 1)


def put(shelf: Shelf, frames: list[bytes]) -> None:
    shelf.path().write_bytes(b"".join(frames))


def named(found: list[Finding]) -> set[tuple[Trouble, int | None]]:
    assert {finding.stream for finding in found} <= {1}
    return {(finding.trouble, finding.part) for finding in found}


def test_whole_objects_have_nothing_wrong(shelf: Shelf) -> None:
    assert shelf.found() == []
    assert shelf.readable() == set(range(PARTS))


@many
@given(st.data())
def test_a_flipped_bit_is_named_with_its_part_and_costs_no_other(shelf: Shelf, data: st.DataObject) -> None:
    frames = shelf.frames()
    number = data.draw(st.integers(0, PARTS))
    bit = data.draw(st.integers(0, 8 * len(frames[number]) - 1))
    flipped = bytearray(frames[number])
    flipped[bit // 8] ^= 1 << bit % 8
    frames[number] = bytes(flipped)
    put(shelf, frames)
    found = named(shelf.found())
    if number == PARTS:
        # The end: nothing is lost, but the stream is not closed any more.
        assert found & {(Trouble.ALTERED, PARTS), (Trouble.CUT, PARTS)}
        assert found <= {(Trouble.ALTERED, PARTS), (Trouble.CUT, PARTS), (Trouble.UNENDED, None)}
        assert shelf.readable() == set(range(PARTS))
    else:
        assert found == {(Trouble.ALTERED, number)}
        assert shelf.readable() == set(range(PARTS)) - {number}


@many
@given(st.integers(0, 5000))
def test_a_shortened_stream_says_where_it_ends(shelf: Shelf, length: int) -> None:
    frames = shelf.frames()
    content = b"".join(frames)[:length]
    if len(content) == sum(map(len, frames)):
        return
    shelf.path().write_bytes(content)
    whole = [number for number in range(PARTS) if sum(map(len, frames[: number + 1])) <= len(content)]
    found = named(shelf.found())
    assert shelf.readable() == set(whole)
    assert (Trouble.UNENDED, None) in found
    rest = len(content) - sum(len(frames[number]) for number in whole)
    assert ((Trouble.CUT, len(whole)) in found) == (rest > 0)
    # The object's list of contents says how much there was.
    assert {part for trouble, part in found if trouble is Trouble.MISSING} == set(range(len(whole), PARTS))


@many
@given(st.data())
def test_bytes_taken_out_are_named(shelf: Shelf, data: st.DataObject) -> None:
    frames = shelf.frames()
    number = data.draw(part_numbers)
    start = data.draw(st.integers(0, len(frames[number]) - 1))
    stop = data.draw(st.integers(start + 1, len(frames[number])))
    frames[number] = frames[number][:start] + frames[number][stop:]
    put(shelf, frames)
    found = named(shelf.found())
    if stop - start == len(shelf.frames()[number + 1]):
        # The part behind it fills the gap to the byte, and so is taken for its body.
        assert {(Trouble.ALTERED, number), (Trouble.MISSING, number + 1)} >= found - {(Trouble.UNENDED, None)}
        assert shelf.readable() == set(range(PARTS)) - {number, number + 1}
        return
    assert shelf.readable() == set(range(PARTS)) - {number}
    assert {part for _, part in found} == {number}
    assert {trouble for trouble, _ in found} <= {Trouble.ALTERED, Trouble.CUT_SHORT, Trouble.MISSING}


def test_a_header_that_only_looks_foreign_hides_no_part_behind_it(shelf: Shelf) -> None:
    frames = shelf.frames()
    # Two bytes more make another owner of it, and another length, which reaches over the next parts.
    frames[0] = frames[0][:8] + bytes(2) + frames[0][8:]
    put(shelf, frames)
    assert named(shelf.found()) == {(Trouble.ALTERED, 0)}
    assert shelf.readable() == set(range(1, PARTS))


def test_a_header_that_only_looks_torn_hides_no_part_behind_it(shelf: Shelf) -> None:
    frames = shelf.frames()
    # A byte less gives it a longer note than the rest of the file has.
    frames[3] = frames[3][:29] + frames[3][30:]
    put(shelf, frames)
    assert named(shelf.found()) == {(Trouble.ALTERED, 3)}
    assert shelf.readable() == set(range(PARTS)) - {3}


@many
@given(st.data(), st.binary(min_size=1, max_size=200))
def test_bytes_put_in_are_named(shelf: Shelf, data: st.DataObject, more: bytes) -> None:
    frames = shelf.frames()
    number = data.draw(st.integers(0, PARTS))
    at = data.draw(st.integers(0, len(frames[number])))
    damaged = frames[number][:at] + more + frames[number][at:]
    if damaged.startswith(frames[number]):
        at = len(frames[number])
    frames[number] = damaged
    put(shelf, frames)
    found = shelf.found()
    assert found
    touched = {number} if 0 < at < len(frames[number]) - len(more) else set()
    assert shelf.readable() >= set(range(PARTS)) - touched
    if not touched:
        assert {finding.trouble for finding in found} == {Trouble.EXTRA}


@many
@given(part_numbers)
def test_a_part_taken_out_is_missing(shelf: Shelf, number: int) -> None:
    frames = shelf.frames()
    del frames[number]
    put(shelf, frames)
    assert named(shelf.found()) == {(Trouble.MISSING, number)}
    assert shelf.readable() == set(range(PARTS)) - {number}


@many
@given(part_numbers, st.integers(0, PARTS))
def test_a_part_put_in_again_is_repeated(shelf: Shelf, number: int, place: int) -> None:
    frames = shelf.frames()
    frames.insert(place, shelf.frames()[number])
    put(shelf, frames)
    found = named(shelf.found())
    # An early copy is taken for the part itself, which is then the one too many.
    assert (Trouble.REPEATED, number) in found
    assert {trouble for trouble, _ in found} <= {Trouble.REPEATED, Trouble.MOVED}
    assert shelf.readable() == set(range(PARTS))


@many
@given(st.permutations(range(PARTS + 1)))
def test_parts_in_another_order_are_named_and_still_readable(shelf: Shelf, order: list[int]) -> None:
    frames = shelf.frames()
    put(shelf, [frames[number] for number in order])
    found = named(shelf.found())
    assert bool(found) == (order != sorted(order))
    assert {trouble for trouble, _ in found} <= {Trouble.MOVED}
    assert shelf.readable() == set(range(PARTS))


@many
@given(part_numbers, part_numbers, st.sampled_from([(0, 2), (1, 1), (1, 2)]), st.booleans())
def test_a_part_of_another_stream_or_object_is_foreign(
    shelf: Shelf, place: int, number: int, origin: tuple[int, int], replaces: bool
) -> None:
    frames = shelf.frames()
    frames[place : place + replaces] = [shelf.frames(*origin)[number]]
    put(shelf, frames)
    expected: set[tuple[Trouble, int | None]] = {(Trouble.FOREIGN, place)}
    if replaces:
        expected.add((Trouble.MISSING, place))
    found = shelf.found()
    assert named(found) == expected
    texts = [finding.text for finding in found if finding.trouble is Trouble.FOREIGN]
    assert ("of stream 2" if origin[0] == 0 else "of another object") in texts[0]
    assert shelf.readable() == set(range(PARTS)) - ({place} if replaces else set())


@many
@given(st.data())
def test_any_mixture_is_noticed_and_what_is_read_is_right(shelf: Shelf, data: st.DataObject) -> None:
    content = bytearray(shelf.whole[shelf.path()])
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.integers(0, 300)))
        match data.draw(st.sampled_from(["cut", "repeat", "move", "overwrite"])):
            case "cut":
                del content[start:stop]
            case "repeat":
                content[stop:stop] = content[start:stop]
            case "move":
                piece = content[start:stop]
                del content[start:stop]
                at = data.draw(st.integers(0, len(content)))
                content[at:at] = piece
            case _:
                content[start:stop] = data.draw(st.binary(min_size=stop - start, max_size=stop - start))
    shelf.path().write_bytes(content)
    shelf.readable()
    assert bool(shelf.found()) == (bytes(content) != shelf.whole[shelf.path()])


def swap_streams(shelf: Shelf) -> None:
    shelf.path(0, 1).write_bytes(shelf.whole[shelf.path(0, 2)])
    shelf.path(0, 2).write_bytes(shelf.whole[shelf.path(0, 1)])


def take_from_other_object(shelf: Shelf) -> None:
    shelf.path(0, 2).write_bytes(shelf.whole[shelf.path(1, 2)])


def empty(shelf: Shelf) -> None:
    shelf.path(0, 2).write_bytes(b"")


def add_stream(shelf: Shelf) -> None:
    shelf.path(0, 3).write_bytes(shelf.whole[shelf.path(0, 2)])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (swap_streams, {Trouble.FOREIGN, Trouble.UNENDED, Trouble.MISSING}),
        (take_from_other_object, {Trouble.FOREIGN, Trouble.UNENDED, Trouble.MISSING}),
        (empty, {Trouble.UNENDED, Trouble.MISSING}),
        (add_stream, {Trouble.FOREIGN, Trouble.UNENDED, Trouble.STREAM_UNKNOWN}),
        (lambda shelf: shelf.path(0, 2).unlink(), {Trouble.STREAM_MISSING}),
        (lambda shelf: shelf.path(0, 0).unlink(), {Trouble.UNSEALED}),
        (lambda shelf: shelf.path(0, 0).write_bytes(b""), {Trouble.ALTERED}),
        (lambda shelf: shelf.path(0, 0).write_bytes(shelf.whole[shelf.path(1, 0)]), {Trouble.ALTERED}),
    ],
)
def test_damage_to_whole_streams_is_named(
    shelf: Shelf, damage: Callable[[Shelf], None], expected: set[Trouble]
) -> None:
    damage(shelf)
    assert {finding.trouble for finding in shelf.found()} == expected
    shelf.path(0, 3).unlink(missing_ok=True)


def test_iterating_stops_at_damage_and_goes_on_behind_it(shelf: Shelf) -> None:
    frames = shelf.frames()
    frames[2] = frames[2][:-1] + bytes([frames[2][-1] ^ 1])
    del frames[4]
    put(shelf, frames)
    met: list[int] = []

    def play(first: int) -> None:
        for part, _ in reader.iterate(first):
            met.append(part.number)

    with shelf.vault.open(shelf.refs[0]).stream(1) as reader:
        with pytest.raises(VaultError, match="part 2 is altered"):
            play(0)
        with pytest.raises(VaultError, match="part 4 is missing"):
            play(3)
        play(5)
    assert met == [0, 1, 3, 5]


def test_zeros_that_a_power_failure_left_are_a_cut(shelf: Shelf) -> None:
    frames = shelf.frames()
    put(shelf, [*frames[:3], bytes(5000)])
    found = named(shelf.found())
    assert (Trouble.CUT, 3) in found
    assert shelf.readable() == {0, 1, 2}


def test_a_file_of_nothing_but_beginnings_is_read_in_time(shelf: Shelf) -> None:
    header = shelf.frames()[0][:52]
    shelf.path().write_bytes(header * 20_000)
    assert shelf.readable() == set()
    assert shelf.found()


def test_verifying_changes_nothing_on_disk(shelf: Shelf, tmp_path: Path) -> None:
    put(shelf, shelf.frames()[:3])
    shutil.copytree(shelf.folder, tmp_path / "before")
    shelf.found()
    for path in shelf.folder.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "before" / path.relative_to(shelf.folder)).read_bytes()
