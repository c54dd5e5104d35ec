"""`bridge vault` and `bridge audit`: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest

from bridge.vault import ObjectKind, ObjectRef, Vault
from tests.commandline import Printed, Run, command_line, must_print

OFFLINE = pyrage.x25519.Identity.generate()
RECIPIENT = str(OFFLINE.to_public())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(tmp_path / "data", monkeypatch, capsys)


@pytest.fixture
def printed(run: Run) -> Printed:
    return must_print(run)


def stored(folder: Path, content: bytes = b"content") -> ObjectRef:
    writer = Vault(folder / "data").create(ObjectKind.RECORDING)
    with writer.new_stream() as stream:
        stream.append(content)
        stream.end()
    writer.seal()
    return writer.ref


def test_recipients_are_added_applied_and_removed(tmp_path: Path, printed: Printed) -> None:
    ref = stored(tmp_path)
    assert "no offline recipient" in printed("vault", "recipients")
    added = printed("vault", "recipients", "--add", RECIPIENT)
    assert f"{RECIPIENT}  offline" in added
    assert "1 objects" in added
    assert printed("vault", "rotate") == "Wrapped 1 keys anew; 0 were right already.\n"
    wrapped = (tmp_path / "data" / "recordings" / ref.id / "key.age").read_bytes()
    assert ref.id.encode() in pyrage.decrypt(wrapped, [OFFLINE])
    printed("vault", "recipients", "--remove", RECIPIENT)
    left = json.loads(printed("vault", "recipients", "--json"))
    assert (left["offline"], left["toRotate"]) == ([], 1)
    events = [json.loads(line) for line in printed("audit", "show", "--json").splitlines()]
    assert [event["event"] for event in events] == [
        "auditStarted",
        "recipientsChanged",
        "keysRotated",
        "keysRotated",
        "recipientsChanged",
    ]


def test_verify_names_what_is_wrong_and_fails(tmp_path: Path, run: Run, printed: Printed) -> None:
    whole, damaged = stored(tmp_path), stored(tmp_path)
    said = printed("vault", "verify")
    assert said == "Verified 2 objects: no harm found.\n"
    path = tmp_path / "data" / "recordings" / damaged.id / "00000001.parts"
    content = bytearray(path.read_bytes())
    content[70] ^= 1
    path.write_bytes(content)
    done = run("vault", "verify")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{damaged}: Stream 1, part 0 is altered.",
        "Verified 2 objects: 1 harmed.",
    ]
    assert printed("vault", "verify", str(whole)) == "Verified 1 objects: no harm found.\n"
    row = json.loads(run("vault", "verify", "--json", str(damaged)).stdout)
    assert row["findings"] == [
        {"trouble": "altered", "stream": 1, "part": 0, "text": "Stream 1, part 0 is altered."}
    ]


def test_a_new_server_is_restored_by_an_offline_identity(tmp_path: Path, run: Run, printed: Printed) -> None:
    Vault(tmp_path / "data").keyring.set_recipients([RECIPIENT])
    stored(tmp_path)
    (tmp_path / "data" / "vault" / "identity.txt").unlink()
    lost = run("vault", "verify")
    assert (lost.returncode, "restore it from a backup" in lost.stderr) == (2, True)
    identity = tmp_path / "offline.txt"
    identity.write_text(f"{OFFLINE}\n")
    identity.chmod(0o644)
    refused = run("vault", "rotate", "--identity", str(identity))
    assert (refused.returncode, "chmod 600" in refused.stderr) == (2, True)
    identity.chmod(0o600)
    assert "Wrapped 1 keys" in printed("vault", "rotate", "--identity", str(identity))
    assert "no harm" in printed("vault", "verify")


def test_the_audit_is_verified_against_an_anchor(tmp_path: Path, run: Run, printed: Printed) -> None:
    printed("audit", "show")
    first = json.loads(printed("audit", "verify", "--json"))
    assert (first["events"], first["findings"]) == (2, [])
    said = printed("audit", "verify", "--anchor", first["end"])
    assert "nothing is missing or changed" in said
    path = tmp_path / "data" / "audit" / "audit-000001.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:-1]))
    done = run("audit", "verify")
    assert done.returncode == 1
    assert "Events 4 to 4 are missing at the end." in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("vault", "verify", "recording/none"), 2, "recording/abc"),
        (("vault", "verify", "recording/aaaaaaaaaaaaaaaa"), 1, "There is no recording/aaaaaaaaaaaaaaaa."),
        (("vault", "recipients", "--add", "age1none"), 2, "no age recipient"),
        (("vault", "recipients", "--remove", RECIPIENT), 1, "not among the recipients"),
        (("vault", "rotate", "--identity", "/none.txt"), 2, "There is no identity /none.txt."),
        (("audit", "verify", "--anchor", "soon"), 2, "N:HASH"),
        (("audit", "show", "--event", "nonsense"), 2, "nonsense"),
    ],
)
def test_refusals_are_one_sentence(run: Run, words: tuple[str, ...], code: int, says: str) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
