"""What is derived from a study: readable while the study is, gone with its key, and never counted as stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.audit import AUDIT_FOLDER, Audit
from bridge.vault import ObjectKind, ObjectRef, Trouble, Vault, VaultError

BODY = b"a picture of somebody"
NOTE = b"whose"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    audit = Audit(tmp_path / "data" / AUDIT_FOLDER)
    yield audit
    audit.close()


def study_with_more(vault: Vault) -> ObjectRef:
    writer = vault.create(ObjectKind.STUDY)
    with writer.new_stream() as stream:
        stream.append(b"as it was received")
        stream.end()
    writer.seal()
    with vault.derived.writer(writer.ref.id).new_stream() as stream:
        stream.append(BODY, NOTE)
    return writer.ref


def derived_bodies(vault: Vault, ref: ObjectRef) -> list[bytes]:
    reader = vault.derived.reader(ref.id)
    assert reader is not None
    found = []
    for number in reader.streams():
        with reader.stream(number) as stream:
            found += [body for _, body in stream.iterate()]
    return found


def test_it_comes_back(vault: Vault, tmp_path: Path) -> None:
    ref = study_with_more(vault)
    assert derived_bodies(vault, ref) == [BODY]
    assert derived_bodies(Vault(tmp_path / "data"), ref) == [BODY]


def test_nothing_of_it_lies_in_the_clear(vault: Vault, tmp_path: Path) -> None:
    study_with_more(vault)
    for path in (tmp_path / "data" / "derived").rglob("*.parts"):
        content = path.read_bytes()
        assert BODY not in content
        assert NOTE not in content


def test_the_study_is_not_touched_by_it_and_verifies(vault: Vault) -> None:
    ref = study_with_more(vault)
    assert list(vault.verify(ref)) == []
    assert list(vault.objects()) == [ref]


def test_shredding_the_study_removes_it(vault: Vault, audit: Audit, tmp_path: Path) -> None:
    ref = study_with_more(vault)
    vault.shred(ref, audit, "staff")
    assert not list((tmp_path / "data" / "derived").iterdir())
    assert vault.derived.reader(ref.id) is None


def test_it_is_unreadable_without_the_study_even_where_it_was_copied(
    vault: Vault, audit: Audit, tmp_path: Path
) -> None:
    ref = study_with_more(vault)
    folder = tmp_path / "data" / "derived" / ref.id
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    vault.shred(ref, audit, "staff")
    folder.mkdir()
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    with pytest.raises(VaultError) as caught:
        vault.derived.reader(ref.id)
    assert caught.value.trouble is Trouble.NOT_FOUND


def test_nothing_is_derived_from_what_was_shredded(vault: Vault, audit: Audit) -> None:
    ref = study_with_more(vault)
    vault.shred(ref, audit, "staff")
    with pytest.raises(VaultError):
        vault.derived.writer(ref.id)
    assert vault.derived.kept() == []


def test_a_part_of_the_study_does_not_pass_for_a_derived_one(vault: Vault, tmp_path: Path) -> None:
    ref = study_with_more(vault)
    own = (tmp_path / "data" / "imaging" / ref.id / "00000001.parts").read_bytes()
    (tmp_path / "data" / "derived" / ref.id / "00000001.parts").write_bytes(own)
    assert derived_bodies(vault, ref) == []


def test_dropping_leaves_the_study_and_may_be_repeated(vault: Vault) -> None:
    ref, other = study_with_more(vault), study_with_more(vault)
    assert [each.id for each in vault.derived.kept()] == sorted(
        (ref.id, other.id), key=lambda id: next(e.used_s for e in vault.derived.kept() if e.id == id)
    )
    vault.derived.drop(ref.id)
    vault.derived.drop(ref.id)
    assert [each.id for each in vault.derived.kept()] == [other.id]
    assert list(vault.verify(ref)) == []
    with vault.open(ref).stream(1) as stream:
        assert stream.read(0) == b"as it was received"
