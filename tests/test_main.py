"""The command line as its own process: what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    own = {
        "data_dir": str(folder / "data"),
        "port": "0",
        "media_host": "127.0.0.1",
        "media_port": "0",
    } | settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return kept | {f"BRIDGE_{name.upper()}": value for name, value in own.items()} | {"NO_COLOR": "1"}


def bridge(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "bridge", *words],
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def printed(folder: Path, *words: str, **settings: str) -> str:
    done = bridge(folder, *words, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def serving(folder: Path, *words: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A server process, and the lines it printed until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", *words],
        cwd=ROOT,
        env=environment(folder, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while "UDP port" not in (line := process.stdout.readline()):
            assert line, lines
            lines.append(line)
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_session_is_made_without_a_server(tmp_path: Path) -> None:
    out = printed(
        tmp_path,
        *("session", "create", "--title", "Siêu âm", "--kind", "radiology", "--format", "event"),
        *("--capacity", "50", "--expires-in", "2h", "--satellite-point", "Sơn La", "--json"),
        *("--record", "manual", "--consent"),
        public_url="https://bridge.example.org",
    )
    made = json.loads(out)
    assert out.count("\n") == 1
    assert set(made) == {"session", "tokens", "links"}
    assert set(made["tokens"]) == set(made["links"]) == {"organiser", "hub", "satellite", "viewer"}
    for role, token in made["tokens"].items():
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["use"], claims["ses"], claims["role"]) == ("invite", made["session"], role)
        assert claims["point"] == ("Sơn La" if role == "satellite" else "")
        assert claims["exp"] - claims["iat"] == 2 * 3600
        assert made["links"][role] == f"https://bridge.example.org/join#{token}"
    (session,) = json.loads(printed(tmp_path, "session", "list", "--json"))
    assert (session["title"], session["kind"], session["format"], session["capacity"]) == (
        "Siêu âm",
        "radiology",
        "event",
        50,
    )
    assert (session["record"], session["consent"]) == ("manual", True)


def test_a_running_server_is_emptied_and_opened_again(tmp_path: Path) -> None:
    refused = bridge(tmp_path, "drain", "on", port="1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "does it run?" in refused.stderr
    with serving(tmp_path, tls="self-signed"):
        on = printed(tmp_path, "drain", "on", tls="self-signed")
        assert on == "The server is being emptied: 0 sessions are live, with 0 participants.\n"
        assert printed(tmp_path, "drain", "status", tls="self-signed") == on
        assert "takes people" in printed(tmp_path, "drain", "off", tls="self-signed")


def test_what_is_not_said_of_a_recording_is_as_the_settings_say(tmp_path: Path) -> None:
    settings = {"session_record": "never", "session_consent": "true"}
    printed(tmp_path, "session", "create", "--title", "As set", **settings)
    printed(tmp_path, "session", "create", "--title", "Said", "--record", "auto", "--no-consent", **settings)
    listed = {s["title"]: s for s in json.loads(printed(tmp_path, "session", "list", "--json"))}
    assert (listed["As set"]["record"], listed["As set"]["consent"]) == ("never", True)
    assert (listed["Said"]["record"], listed["Said"]["consent"]) == ("auto", False)


def test_what_is_stored_is_for_its_owner_only(tmp_path: Path) -> None:
    printed(tmp_path, "session", "create", "--title", "x", "--json")
    for path in (tmp_path / "data", *(tmp_path / "data").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_invites_are_made_listed_and_withdrawn(tmp_path: Path) -> None:
    session = json.loads(printed(tmp_path, "session", "create", "--title", "x", "--json"))["session"]
    made = json.loads(
        printed(
            tmp_path, "invite", "create", session, "--role", "satellite", "--point", "Điện Biên", "--json"
        )
    )
    assert made["link"].endswith(f"/join#{made['token']}")
    printed(tmp_path, "invite", "revoke", session, made["invite"])
    listed = {
        invite["id"]: invite for invite in json.loads(printed(tmp_path, "invite", "list", session, "--json"))
    }
    assert len(listed) == 5
    assert (listed[made["invite"]]["point"], listed[made["invite"]]["revoked"]) == ("Điện Biên", True)
    assert "withdrawn" in printed(tmp_path, "invite", "list", session)


def test_a_session_is_ended(tmp_path: Path) -> None:
    session = json.loads(printed(tmp_path, "session", "create", "--title", "x", "--json"))["session"]
    printed(tmp_path, "session", "end", session)
    assert json.loads(printed(tmp_path, "session", "list", "--json"))[0]["state"] == "ended"
    again = bridge(tmp_path, "invite", "create", session, "--role", "hub")
    assert (again.returncode, again.stderr) == (1, "bridge: This session is over.\n")


@pytest.mark.parametrize(
    ("words", "settings", "code", "says"),
    [
        (("session", "end", "none"), {}, 1, "There is no such session."),
        (("session", "create", "--title", " "), {}, 1, "A session needs a title."),
        (("session", "create"), {}, 2, "--title"),
        (("session", "create", "--title", "x", "--kind", "party"), {}, 2, "party"),
        (("session", "create", "--title", "x", "--expires-in", "soon"), {}, 2, "length of time"),
        (("session", "create", "--title", "x", "--expires-in", "1s"), {}, 1, "good for"),
        (("nonsense",), {}, 2, "nonsense"),
        (("serve", "--port", "99999"), {}, 2, "--port must be a whole number from 0 to 65535."),
        (("serve", "--tls", "files"), {}, 2, "tls_cert and tls_key must be set"),
        (("serve",), {"prot": "1"}, 2, "Did you mean port?"),
        (("serve", "--config", "/none.toml"), {}, 2, "No such file"),
        (("staff", "link"), {"data_dir": "/proc/none"}, 2, "cannot be made"),
    ],
)
def test_failures_are_one_sentence(
    tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], code: int, says: str
) -> None:
    done = bridge(tmp_path, *words, **settings)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_key_that_others_may_read_stops_everything(tmp_path: Path) -> None:
    printed(tmp_path, "staff", "link")
    (tmp_path / "data" / "secret.key").chmod(0o644)
    for words in (("staff", "link"), ("serve",), ("session", "list")):
        done = bridge(tmp_path, *words)
        assert done.returncode == 2
        assert "chmod 600" in done.stderr


def test_a_vault_whose_key_others_may_read_is_not_served(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    keys = [path for path in (tmp_path / "data" / "vault").rglob("*") if path.is_file()]
    for path in keys:
        path.chmod(0o644)
    done = bridge(tmp_path, "serve")
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_says_where_it_is_and_stops_gracefully(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, lines):
        text = "".join(lines)
        assert "Make sessions          http://127.0.0.1:" in text
        link = printed(tmp_path, "staff", "link").strip()
        address = link.partition("/#")[0]
        assert f"{address}/#" in text
        made = json.loads(printed(tmp_path, "session", "create", "--title", "x", "--json"))
        assert made["links"]["hub"].startswith(f"{address}/join#")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_serve_with_a_self_signed_certificate_prints_its_fingerprint(tmp_path: Path) -> None:
    with serving(tmp_path, "--tls", "self-signed") as (process, lines):
        assert "https://127.0.0.1:" in "".join(lines)
        assert process.stdout is not None
        assert "Certificate (SHA-256)" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


def test_a_killed_server_starts_again_on_the_same_data(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _):
        session = json.loads(printed(tmp_path, "session", "create", "--title", "x", "--json"))["session"]
        process.kill()
        process.wait(timeout=10)
    with serving(tmp_path):
        assert json.loads(printed(tmp_path, "session", "list", "--json"))[0]["id"] == session


def test_the_settings_are_printed_as_documented(tmp_path: Path) -> None:
    assert printed(tmp_path, "settings") == (ROOT / "docs" / "settings.md").read_text()
