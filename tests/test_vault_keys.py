"""Keys of the vault: identities and recipients, rotation and shredding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from bridge.audit import AUDIT_FOLDER, Audit, Event, Outcome, read_lines
from bridge.config import ConfigError
from bridge.vault import ObjectRef, Trouble, Vault, VaultError
from bridge.vault.parts import STORED_KINDS
from tests.vaulted import store, troubles


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def vault(data: Path) -> Vault:
    return Vault(data)


@pytest.fixture
def audit(data: Path) -> Iterator[Audit]:
    audit = Audit(data / AUDIT_FOLDER)
    yield audit
    audit.close()


def test_an_identity_that_others_may_read_is_refused(vault: Vault, data: Path) -> None:
    ref = store(vault)
    path = data / "vault" / "identity.txt"
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            Vault(data)
        with pytest.raises(ConfigError, match="chmod 600"):
            vault.open(ref)
    path.chmod(0o600)
    assert troubles(Vault(data), ref) == []


@pytest.mark.parametrize("content", ["", "# nothing\n", "AGE-SECRET-KEY-1WRONG\n", "x" * 100_000])
def test_a_damaged_identity_is_refused(vault: Vault, data: Path, content: str) -> None:
    (data / "vault" / "identity.txt").write_text(content)
    with pytest.raises(ConfigError, match="identity"):
        Vault(data)


def test_a_lost_identity_is_not_replaced_in_silence(vault: Vault, data: Path) -> None:
    store(vault)
    (data / "vault" / "identity.txt").unlink()
    with pytest.raises(ConfigError, match="restore it from a backup"):
        Vault(data)


@pytest.mark.parametrize("line", ["age1wrong", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1XX"])
def test_a_recipient_that_is_none_is_refused(vault: Vault, data: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="no age recipient"):
        vault.keyring.set_recipients([line])
    (data / "vault" / "recipients.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(ConfigError, match="no age recipient"):
        Vault(data)


def test_a_key_of_another_object_is_named(vault: Vault, data: Path) -> None:
    one, other = store(vault), store(vault)
    keys = [data / "recordings" / ref.id / "key.age" for ref in (one, other)]
    keys[0].write_bytes(keys[1].read_bytes())
    with pytest.raises(VaultError) as caught:
        vault.open(one)
    assert caught.value.trouble is Trouble.KEY_FOREIGN
    assert troubles(vault, one) == [Trouble.KEY_FOREIGN]
    assert troubles(vault, other) == []


def test_an_object_that_somebody_wrapped_to_the_public_recipient_is_not_believed(
    vault: Vault, data: Path, tmp_path: Path
) -> None:
    forger = Vault(tmp_path / "forger")
    forger.keyring.set_recipients([vault.keyring.server_recipient()])
    ref = store(forger)
    (data / "recordings").mkdir()
    (tmp_path / "forger" / "recordings" / ref.id).rename(data / "recordings" / ref.id)
    with pytest.raises(VaultError, match="not made by this server") as caught:
        vault.open(ref)
    assert caught.value.trouble is Trouble.KEY_FOREIGN


def test_a_damaged_key_is_named(vault: Vault, data: Path) -> None:
    ref = store(vault)
    path = data / "recordings" / ref.id / "key.age"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:100], bytes(len(whole)), whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(VaultError) as caught:
            vault.open(ref)
        assert caught.value.trouble is Trouble.KEY_UNREADABLE


def test_rotation_wraps_anew_and_leaves_content_alone(vault: Vault, data: Path, audit: Audit) -> None:
    refs = [store(vault, kind=kind) for kind in STORED_KINDS]
    offline = pyrage.x25519.Identity.generate()
    vault.keyring.set_recipients([str(offline.to_public())])
    assert not any(map(vault.is_current, refs))
    content = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.parts")}
    old_identity = (data / "vault" / "identity.txt").read_text().split()[-1]
    old_keys = [(path.read_bytes(), os.open(path, os.O_RDONLY)) for path in data.rglob("key.age")]

    done = vault.rotate(audit, "operator:0", new_identity=True)

    for wrapped, copy in old_keys:
        assert wrapped[40:80] not in os.pread(copy, len(wrapped), 0)
        os.close(copy)
    assert (done.rewrapped, done.unchanged, done.failed) == (3, 0, [])
    assert content == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.parts")}
    for ref in refs:
        assert troubles(vault, ref) == []
        (wrapped,) = (path.read_bytes() for path in data.glob(f"*/{ref.id}/key.age"))
        assert ref.id.encode() in pyrage.decrypt(wrapped, [offline])
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(wrapped, [pyrage.x25519.Identity.from_str(old_identity)])
    assert old_identity not in (data / "vault" / "identity.txt").read_text()
    again = vault.rotate(audit, "operator:0")
    assert (again.rewrapped, again.unchanged) == (0, 3)
    said = [line.content for line in read_lines(audit.folder, audit.key)]
    assert [(line["event"], line["outcome"]) for line in said[1:3]] == [
        (Event.KEYS_ROTATED, Outcome.BEGUN),
        (Event.KEYS_ROTATED, Outcome.DONE),
    ]
    assert said[2]["detail"] == {"rewrapped": 3, "failed": 0, "newIdentity": 1}


def test_a_rotation_that_died_midway_loses_nothing_and_is_finished_by_the_next(
    vault: Vault, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [store(vault) for _ in range(3)]
    wrap = vault.keyring.wrap
    left = [True]

    def wrap_once(ref: ObjectRef, key: bytes) -> bytes:
        if not left.pop():
            raise KeyboardInterrupt
        left.append(False)
        return wrap(ref, key)

    with monkeypatch.context() as patch:
        patch.setattr(vault.keyring, "wrap", wrap_once)
        with pytest.raises(KeyboardInterrupt):
            vault.rotate(audit, "system", new_identity=True)
    assert vault.keyring.identities == 2
    assert [vault.is_current(ref) for ref in refs].count(True) == 1
    assert all(troubles(vault, ref) == [] for ref in refs)
    assert vault.rotate(audit, "system").rewrapped == 2
    assert vault.keyring.identities == 1
    assert all(troubles(vault, ref) == [] for ref in refs)


def test_old_identities_are_kept_while_a_key_cannot_be_opened(vault: Vault, data: Path, audit: Audit) -> None:
    ref, damaged = store(vault), store(vault)
    path = data / "recordings" / damaged.id / "key.age"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    done = vault.rotate(audit, "system", new_identity=True)
    assert [(finding.trouble, str(damaged) in finding.text) for finding in done.failed] == [
        (Trouble.KEY_UNREADABLE, True)
    ]
    path.write_bytes(whole)
    assert troubles(vault, damaged) == troubles(vault, ref) == []
    assert vault.rotate(audit, "system").failed == []
    assert vault.keyring.identities == 1


def test_an_offline_identity_brings_everything_to_a_new_server(
    vault: Vault, data: Path, audit: Audit
) -> None:
    offline = pyrage.x25519.Identity.generate()
    vault.keyring.set_recipients([str(offline.to_public())])
    ref = store(vault)
    (data / "vault" / "identity.txt").unlink()
    restored = Vault(data, restoring=True)
    with pytest.raises(VaultError):
        restored.open(ref)
    assert restored.rotate(audit, "system", foreign=[offline]).rewrapped == 1
    assert troubles(Vault(data), ref) == []


def test_shredding_destroys_the_key_and_says_so(
    vault: Vault, data: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, other = store(vault), store(vault)
    folder = data / "recordings" / ref.id
    (folder / ".key.age.0011.draft").write_bytes((folder / "key.age").read_bytes())
    copies = [os.open(path, os.O_RDONLY) for path in folder.glob("*key.age*")]
    wrapped = (folder / "key.age").read_bytes()
    vault.shred(ref, audit, "participant:abc")
    assert len(copies) == 2
    for copy in copies:
        assert wrapped[40:80] not in os.pread(copy, 10_000, 0)
        os.close(copy)
    assert not folder.exists()
    assert list(vault.objects()) == [other]
    with pytest.raises(VaultError) as caught:
        vault.open(ref)
    assert caught.value.trouble is Trouble.NOT_FOUND
    said = [line.content for line in read_lines(audit.folder, audit.key)][-2:]
    assert [(line["event"], line["on"], line["outcome"], line["who"]) for line in said] == [
        ("objectShredded", str(ref), 1, "participant:abc"),
        ("objectShredded", str(ref), 0, "participant:abc"),
    ]
    assert troubles(vault, other) == []


def test_a_shredding_that_was_broken_off_is_finished(vault: Vault, data: Path, audit: Audit) -> None:
    ref = store(vault)
    (data / "recordings" / ref.id / "key.age").unlink()
    assert troubles(vault, ref) == [Trouble.KEY_MISSING]
    assert vault.rotate(audit, "system").failed == []
    vault.shred(ref, audit, "system")
    assert list(vault.objects()) == []
    with pytest.raises(VaultError) as caught:
        vault.shred(ref, audit, "system")
    assert caught.value.trouble is Trouble.NOT_FOUND
