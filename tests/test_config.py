"""Settings: sources, their order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import config
from bridge.config import ConfigError, Settings

ROOT = Path(__file__).resolve().parents[1]


def test_defaults_need_no_source() -> None:
    assert config.load({}) == Settings()


def test_command_line_wins_over_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('port = 1\nmedia_port = 1\ntitle = "Sơn La"\n')
    settings = config.load(
        {"BRIDGE_PORT": "2", "BRIDGE_MEDIA_PORT": "2"}, file, {"port": 3, "media_port": None}
    )
    assert (settings.port, settings.media_port, settings.title) == (3, 2, "Sơn La")


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("port = 1234\n")
    assert config.load({"BRIDGE_CONFIG": str(file)}).port == 1234


def test_yes_and_no_are_words_in_the_environment_and_truth_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("session_consent = true\n")
    assert config.load({}, file).session_consent is True
    assert config.load({"BRIDGE_SESSION_CONSENT": "False"}, file).session_consent is False


def test_paths_in_a_file_are_seen_from_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('data_dir = "state"\ntls = "files"\ntls_cert = "/etc/cert.pem"\ntls_key = "key.pem"\n')
    settings = config.load({}, file)
    assert settings.data_dir == tmp_path / "state"
    assert settings.tls_cert == Path("/etc/cert.pem")
    assert settings.tls_key == tmp_path / "key.pem"


def test_lists_have_commas_in_the_environment_and_brackets_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('media_addresses = ["192.0.2.1"]\n')
    assert config.load({}, file).media_addresses == ("192.0.2.1",)
    several = config.load({"BRIDGE_MEDIA_ADDRESSES": "192.0.2.1, 2001:db8::1"})
    assert several.media_addresses == ("192.0.2.1", "2001:db8::1")


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean media_port"):
        config.load({"BRIDGE_MEDIA_PROT": "1"})


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("colour = 1\n")
    with pytest.raises(ConfigError, match="'colour'"):
        config.load({}, file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "many"),
        ("PORT", ""),
        ("TLS", "maybe"),
        ("MEDIA_ADDRESSES", "bridge.example.org"),
        ("METRICS_ALLOW", "10.0.0.1/8"),
        ("PUBLIC_URL", "bridge.example.org"),
        ("PUBLIC_URL", "https://bridge.example.org/path"),
        ("TITLE", "two\nlines"),
        ("SESSION_KIND", "party"),
        ("CAPACITY_LIMIT", "1e3"),
        ("SESSION_RECORD", "sometimes"),
        ("SESSION_CONSENT", "perhaps"),
        ("RETENTION_DAYS_SURGERY", "-1"),
        ("CONSENT_TEXT_RU", "x" * 4001),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"BRIDGE_{name} must"):
        config.load({f"BRIDGE_{name}": value})


@pytest.mark.parametrize(
    "environment",
    [
        {"BRIDGE_TLS": "files"},
        {"BRIDGE_TLS": "files", "BRIDGE_TLS_CERT": "cert.pem"},
        {"BRIDGE_TLS_CERT": "cert.pem", "BRIDGE_TLS_KEY": "key.pem"},
        {"BRIDGE_TLS": "self-signed", "BRIDGE_PUBLIC_URL": "http://bridge.example.org"},
        {"BRIDGE_CAPACITY_LIMIT": "5"},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.load(environment)


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = true\n", b"port = [1]\n"])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bridge.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bridge\.toml"):
        config.load({}, file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load({}, tmp_path / "none.toml")


def test_the_document_of_the_settings_is_the_table() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == config.document()
