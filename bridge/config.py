"""The settings: one frozen table, filled from defaults, a TOML file, the environment and the command line.

The sole reader of the environment (`BRIDGE_*`) and of the settings file. A later source wins over an earlier one; a
name that is not in the table is an error, wherever it stands. `docs/settings.md` is made from this table.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bridge.ids import RecordMode, SessionFormat, SessionKind

PREFIX = "BRIDGE_"
CONFIG_VARIABLE = "BRIDGE_CONFIG"
"""Names the settings file where `--config` does not."""

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_CARE_DAYS = 3653
"""Ten years, whichever of them have a leap day."""
_LONGEST_DAYS = 36_525
_WORDS_LIMIT = 4000


class ConfigError(Exception):
    """What the operator must mend before the program can go on: one plain sentence."""


class _Refused(Exception):
    """A value that a setting cannot take: the text ends the sentence that the setting's name begins."""


Parse = Callable[[object], Any]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise _Refused("must be a text of one line")
    return value


def _words(value: object) -> str:
    text = _text(value)
    if len(text) > _WORDS_LIMIT:
        raise _Refused(f"must have at most {_WORDS_LIMIT} characters")
    return text


def _yes_or_no(value: object) -> bool:
    said = {"true": True, "false": False}.get(str(value).lower())
    if said is None:
        raise _Refused("must be true or false")
    return said


def _path(value: object) -> Path | None:
    return Path(_text(value)).expanduser() if value != "" else None


def _whole(least: int, most: int) -> Parse:
    def parse(value: object) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise _Refused(f"must be a whole number from {least} to {most}")
        return number

    return parse


def _choice(*words: str) -> Parse:
    def parse(value: object) -> str:
        if value not in words:
            raise _Refused(f"must be one of {', '.join(words)}")
        return str(value)

    return parse


def _each(check: Callable[[str], Any]) -> Parse:
    """A list in TOML, words with commas between them in the environment."""

    def parse(value: object) -> tuple[Any, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise _Refused("must be a list of texts (in the environment: with commas between them)")
        return tuple(check(item.strip()) for item in items if item.strip())

    return parse


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise _Refused("must hold IP addresses") from None


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise _Refused("must hold IP addresses or networks such as 10.0.0.0/8") from None


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise _Refused("must be like https://bridge.example.org, without a path")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _optional_origin(value: object) -> str:
    return _origin(_text(value)) if value != "" else ""


@dataclass(frozen=True, slots=True)
class DicomPeer:
    """A device or PACS that may come by DICOM. `host` is an address or a name, or `*` for any; without a port nothing
    is sent to it; `point` is the name of the connection place that it stands in, or empty."""

    title: str
    host: str
    port: int | None
    point: str


_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
_PEER_HOST = re.compile(r"(?P<host>\*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")


def _ae_title(value: object) -> str:
    if not isinstance(value, str) or not _AE_TITLE.fullmatch(value):
        raise _Refused("must be an AE title: at most 16 letters, digits or signs, no backslash")
    return value


def _peer(value: str) -> DicomPeer:
    title, _, rest = value.partition("=")
    place, _, point = rest.partition("/")
    found = _PEER_HOST.fullmatch(place.strip())
    port = int(found["port"]) if found is not None and found["port"] else None
    if found is None or not _AE_TITLE.fullmatch(title.strip()) or (port is not None and not 0 < port < 65536):
        raise _Refused("must hold texts like ULTRASOUND1=10.1.2.3:104/Name of the point")
    return DicomPeer(title.strip(), found["host"].strip("[]"), port, _text(point.strip()))


@dataclass(frozen=True, slots=True)
class WebPeer:
    """An archive that is sent to by STOW-RS. `token` is a file."""

    name: str
    url: str
    token: Path | None


def _web_peer(value: str) -> WebPeer:
    name, _, rest = value.partition("=")
    url, _, file = rest.strip().partition(" ")
    parts = urlsplit(url)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", name.strip()):
        raise _Refused("must hold texts like ARCHIVE=https://pacs.example.org/dicom-web")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise _Refused("must hold addresses that begin with http or https and hold no query and no password")
    return WebPeer(name.strip(), url.rstrip("/"), _path(file.strip()))


def _setting(default: Any, unit: str, text: str, parse: Parse) -> Any:
    return field(default=default, metadata={"unit": unit, "text": text, "parse": parse})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one server."""

    title: str = _setting("Bridge", "text", "The name of this installation, shown to who is invited.", _text)
    data_dir: Path = _setting(
        Path("data"),
        "folder",
        "Where everything is kept; made at the first start, readable by its owner only.",
        lambda value: _path(value) or Path("data"),
    )
    database_url: str = _setting(
        "",
        "SQLAlchemy URL",
        "Another database than the embedded SQLite file `bridge.db` in `data_dir`.",
        _text,
    )
    host: str = _setting(
        "127.0.0.1",
        "address",
        "Where pages and signaling are served; `0.0.0.0` for every IPv4 address, `::` for IPv6 too.",
        _text,
    )
    port: int = _setting(8080, "TCP port", "The port of `host`; 0 takes a free one.", _whole(0, 65535))
    public_url: str = _setting(
        "",
        "URL",
        "The address people open, if it is another than host and port say, as behind a proxy.",
        _optional_origin,
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        "list of URLs",
        "Other sites whose pages may open the WebSocket and use DICOMweb; the own address always may.",
        _each(_origin),
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "list of networks",
        "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
        _each(_network),
    )
    tls: Literal["off", "self-signed", "files"] = _setting(
        "off",
        "`off`, `self-signed` or `files`",
        "How HTTPS is served: by another program or not at all, by a certificate made at the first start for "
        "trying it on a LAN, or by `tls_cert` and `tls_key`. Browsers give no camera to pages without HTTPS, "
        "except on the machine itself.",
        _choice("off", "self-signed", "files"),
    )
    tls_cert: Path | None = _setting(
        None, "PEM file", "The certificate chain; read again when it changes.", _path
    )
    tls_key: Path | None = _setting(None, "PEM file", "The certificate's private key.", _path)
    media_host: str = _setting(
        "", "address", "Where sound and pictures come in; empty for every address of the machine.", _text
    )
    media_port: int = _setting(
        8081,
        "UDP port",
        "The one port of sound and pictures, to be opened in firewalls; 0 takes a free one.",
        _whole(0, 65535),
    )
    media_addresses: tuple[str, ...] = _setting(
        (),
        "list of addresses",
        "The addresses that clients are told for `media_port`, as behind a NAT; empty for the machine's own.",
        _each(_address),
    )
    media_send: Literal["auto", "sendto", "sendmmsg", "gso"] = _setting(
        "auto",
        "`auto`, `sendto`, `sendmmsg` or `gso`",
        "How the relay hands packets to the kernel.",
        _choice("auto", "sendto", "sendmmsg", "gso"),
    )
    session_kind: str = _setting(
        SessionKind.CONSULTATION.value,
        "kind",
        "What a session is that was made without saying its kind.",
        _choice(*(kind.value for kind in SessionKind)),
    )
    session_format: str = _setting(
        SessionFormat.CONSULT.value,
        "`consult` or `event`",
        "The format of a session that was made without saying it.",
        _choice(*(format.value for format in SessionFormat)),
    )
    session_record: str = _setting(
        RecordMode.AUTO.value,
        "`auto`, `manual` or `never`",
        "Whether a session is recorded that was made without saying it: by itself as soon as two are there, when a "
        "moderator says so, or never.",
        _choice(*(mode.value for mode in RecordMode)),
    )
    session_consent: bool = _setting(
        False,
        "`true` or `false`",
        "Whether everybody is asked before anything of them is recorded, in a session that was made without saying it.",
        _yes_or_no,
    )
    consent_text_vi: str = _setting(
        "", "text", "What is asked then, in Vietnamese; empty for the words of this program.", _words
    )
    consent_text_ru: str = _setting("", "text", "The same in Russian.", _words)
    consent_text_en: str = _setting("", "text", "The same in English.", _words)
    retention_days_advice: int = _setting(
        _CARE_DAYS,
        "days",
        "How long a recording of remote advice is kept after it ended; 0 for ever. What is held stays. Advice, "
        "consultation, radiology, pathology and surgery are care of a patient, and Viet Nam's law keeps records of "
        "that for ten years at least.",
        _whole(0, _LONGEST_DAYS),
    )
    retention_days_consultation: int = _setting(
        _CARE_DAYS, "days", "The same for consultations.", _whole(0, _LONGEST_DAYS)
    )
    retention_days_radiology: int = _setting(
        _CARE_DAYS, "days", "The same for radiology.", _whole(0, _LONGEST_DAYS)
    )
    retention_days_pathology: int = _setting(
        _CARE_DAYS, "days", "The same for pathology.", _whole(0, _LONGEST_DAYS)
    )
    retention_days_surgery: int = _setting(
        _CARE_DAYS, "days", "The same for surgery.", _whole(0, _LONGEST_DAYS)
    )
    retention_days_training: int = _setting(
        2 * 365,
        "days",
        "The same for training: no record of a patient, and after two years what was taught is taught anew.",
        _whole(0, _LONGEST_DAYS),
    )
    study_days_advice: int = _setting(
        _CARE_DAYS,
        "days",
        "How long studies of a session of remote advice are kept after it ended or, if that is later, the last object "
        "came; 0 for ever. What is held stays, and so does a study without a session until somebody removes it.",
        _whole(0, _LONGEST_DAYS),
    )
    study_days_consultation: int = _setting(
        _CARE_DAYS, "days", "The same for consultations.", _whole(0, _LONGEST_DAYS)
    )
    study_days_radiology: int = _setting(
        _CARE_DAYS, "days", "The same for radiology.", _whole(0, _LONGEST_DAYS)
    )
    study_days_pathology: int = _setting(
        _CARE_DAYS, "days", "The same for pathology.", _whole(0, _LONGEST_DAYS)
    )
    study_days_surgery: int = _setting(_CARE_DAYS, "days", "The same for surgery.", _whole(0, _LONGEST_DAYS))
    study_days_training: int = _setting(2 * 365, "days", "The same for training.", _whole(0, _LONGEST_DAYS))
    attendance_days: int = _setting(
        2 * 365,
        "days",
        "How long it is kept who was in an event, and whom to call at its points, after it ended; 0 for ever. It names "
        "people and no patient: certificates are written and questions about them answered within two years, as long "
        "as recordings of training are kept.",
        _whole(0, _LONGEST_DAYS),
    )
    consult_capacity: int = _setting(
        24, "people", "How many a consult holds that was made without saying it.", _whole(2, 10_000)
    )
    event_capacity: int = _setting(
        600, "people", "How many an event holds that was made without saying it.", _whole(2, 10_000)
    )
    capacity_limit: int = _setting(
        1000, "people", "The most that a session may be made for.", _whole(2, 10_000)
    )
    invite_expires_in_s: int = _setting(
        7 * _DAY_S,
        "seconds",
        "How long a link is good that was made without saying it.",
        _whole(60, 366 * _DAY_S),
    )
    staff_link_expires_in_s: int = _setting(
        30 * _DAY_S, "seconds", "How long a staff link is good.", _whole(60, 366 * _DAY_S)
    )
    dicom_port: int = _setting(
        0,
        "TCP port",
        "Where modalities and PACS send studies by the DICOM protocol, usually 104 or 11112; 0 for not at all.",
        _whole(0, 65535),
    )
    dicom_host: str = _setting(
        "", "address", "Where `dicom_port` is; empty for that of `host`.", lambda value: _text(value)
    )
    dicom_title: str = _setting(
        "BRIDGE", "AE title", "The name by which others must call this server.", _ae_title
    )
    dicom_peers: tuple[DicomPeer, ...] = _setting(
        (),
        "list of `AETITLE=host:port/Point`",
        "Who may come to `dicom_port`; nobody else is let in. `host` is an address or a name, `*` for any; the port "
        "may be left out if nothing is to be sent there. With the name of a point, the device belongs to it: what it "
        "sends is noted as the point's and goes to the point's open session if there is just one, and it finds only "
        "what came from the point. Without a name it finds everything.",
        _each(_peer),
    )
    dicom_associations: int = _setting(
        32, "connections", "How many may come to `dicom_port` at one time.", _whole(1, 500)
    )
    dicom_tls_cert: Path | None = _setting(
        None,
        "PEM file",
        "The certificate chain for `dicom_port`; without one, DICOM is not encrypted.",
        _path,
    )
    dicom_tls_key: Path | None = _setting(None, "PEM file", "That certificate's private key.", _path)
    dicom_tls_ca: Path | None = _setting(
        None,
        "PEM file",
        "Whose certificates are believed; with it, who comes must show one.",
        _path,
    )
    dicom_web_peers: tuple[WebPeer, ...] = _setting(
        (),
        "list of `NAME=URL` or `NAME=URL FILE`",
        "Archives that studies can be sent on to by DICOMweb (STOW-RS). `URL` is their base address, as "
        "`https://pacs.example.org/dicom-web`; `FILE` holds the token for them, or after the word `Basic` a name "
        "and password with a colon between them.",
        _each(_web_peer),
    )
    picture_cache_mb: int = _setting(
        20_480,
        "MB",
        "How much of the disk pictures for thin lines may take that were made of studies beforehand; they are "
        "encrypted, go with their study and can be made anew. 0 keeps none: each is made when it is asked for.",
        _whole(0, 100_000_000),
    )
    joins_per_s: int = _setting(
        40,
        "joins per second",
        "How many satellites and viewers come into events in a second; more wait for their turn.",
        _whole(1, 10_000),
    )
    joins_burst: int = _setting(
        60, "joins", "How many of them come in at once before others wait.", _whole(1, 10_000)
    )
    load_shedding: bool = _setting(
        True,
        "`true` or `false`",
        "Whether viewers get smaller pictures while the server is strained, and no more of them come in while it is "
        "full. Points, the stage, organisers and hub lose nothing by it. With `false` organisers, `/metrics` and "
        "`/healthz` are still told, and everybody's pictures suffer alike.",
        _yes_or_no,
    )
    load_lag_ms: int = _setting(
        300,
        "milliseconds",
        "How late the event loop may be before the server is strained: people notice answers to a press from about "
        "then on. It is full at a second (ten thirds of this).",
        _whole(20, 10_000),
    )
    load_cpu_percent: int = _setting(
        90,
        "percent",
        "How much of all cores the server may take before it is strained. Of this and the two below, three fifths of "
        "what is left make it full.",
        _whole(5, 100),
    )
    load_relay_percent: int = _setting(
        80,
        "percent",
        "How much of one core the relay's thread may take: it has no second one, and above this, packets of a burst "
        "wait for milliseconds.",
        _whole(5, 100),
    )
    load_memory_percent: int = _setting(
        93,
        "percent",
        "How much of the machine's memory may be in use, by whatever program: what is left is needed for those who are "
        "in already.",
        _whole(5, 100),
    )
    auth_failures_per_minute: int = _setting(
        30,
        "attempts",
        "Bad tokens that one client address may show before it is told to wait.",
        _whole(1, 10_000),
    )
    request_limit_bytes: int = _setting(
        256 * 1024, "bytes", "The largest body of an HTTP request.", _whole(1024, 16 * 1024 * 1024)
    )
    shutdown_timeout_s: int = _setting(
        5, "seconds", "How long connections have to end when the server stops.", _whole(0, 300)
    )
    metrics_allow: tuple[str, ...] = _setting(
        (),
        "list of networks",
        "Who may read `/metrics` besides the machine itself.",
        _each(_network),
    )
    log_format: Literal["console", "json"] = _setting(
        "console", "`console` or `json`", "Logs for people or for programs.", _choice("console", "json")
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        "`debug`, `info`, `warning` or `error`",
        "The least of what is logged.",
        _choice("debug", "info", "warning", "error"),
    )


_TABLE = {setting.name: setting for setting in fields(Settings)}


def load(
    environment: Mapping[str, str], file: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Settings:
    """Settings from all sources. `overrides` come from the command line; None there means not said.

    Raises ConfigError for a file that cannot be read, an unknown name or a value out of range.
    """
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    values: dict[str, Any] = {}
    if file is not None:
        values |= _from_file(file)
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            name = _known(variable.removeprefix(PREFIX).lower(), f"the environment ({variable})")
            values[name] = _parse(name, value, variable)
    for name, said in (overrides or {}).items():
        if said is not None:
            values[name] = _parse(name, said, f"--{name.replace('_', '-')}")
    settings = Settings(**values)
    _check_together(settings)
    return settings


def document() -> str:
    """The table as `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Each can stand in a TOML file (`--config FILE`, or the file that `BRIDGE_CONFIG` names), in the environment",
        "(`BRIDGE_` and the name in capitals; lists with commas), or on the command line (`bridge serve --help`).",
        "The command line wins over the environment, and that over the file. Unknown names are errors. Paths in the",
        "file are seen from the file's folder. This page is made by `bridge settings`.",
        "",
        "| name | default | unit | |",
        "|---|---|---|---|",
    ]
    for name, setting in _TABLE.items():
        unit, text = setting.metadata["unit"], setting.metadata["text"]
        lines.append(f"| `{name}` | {_shown(setting.default)} | {unit} | {text} |")
    return "\n".join(lines) + "\n"


def _from_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"The settings file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {file} is not TOML: {error}.") from error
    values = {}
    for key, value in table.items():
        name = _known(key, str(file))
        parsed = _parse(name, value, f"{key} in {file}")
        values[name] = file.parent / parsed if isinstance(parsed, Path) else parsed
    return values


def _known(name: str, where: str) -> str:
    if name in _TABLE:
        return name
    near = difflib.get_close_matches(name, _TABLE, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(f"There is no setting {name!r}, which stands in {where}.{hint}")


def _parse(name: str, value: object, where: str) -> Any:
    try:
        return _TABLE[name].metadata["parse"](value)
    except _Refused as error:
        raise ConfigError(f"{where} {error}.") from None


def _check_together(settings: Settings) -> None:
    if settings.tls == "files" and (settings.tls_cert is None or settings.tls_key is None):
        raise ConfigError("With tls = files, both tls_cert and tls_key must be set.")
    if settings.tls != "files" and (settings.tls_cert is not None or settings.tls_key is not None):
        raise ConfigError("tls_cert and tls_key are used only with tls = files.")
    if settings.public_url.startswith("http:") and settings.tls != "off":
        raise ConfigError("With tls on, public_url must begin with https.")
    _check_dicom(settings)
    if max(settings.consult_capacity, settings.event_capacity) > settings.capacity_limit:
        raise ConfigError("consult_capacity and event_capacity must not be above capacity_limit.")


def _check_dicom(settings: Settings) -> None:
    if (settings.dicom_tls_cert is None) != (settings.dicom_tls_key is None):
        raise ConfigError("dicom_tls_cert and dicom_tls_key belong together.")
    if settings.dicom_tls_ca is not None and settings.dicom_tls_cert is None:
        raise ConfigError("dicom_tls_ca is used only with dicom_tls_cert.")
    titles = [peer.title for peer in settings.dicom_peers]
    if len(set(titles)) < len(titles):
        raise ConfigError("dicom_peers names an AE title twice.")
    names = titles + [peer.name for peer in settings.dicom_web_peers]
    if len(set(names)) < len(names):
        raise ConfigError("dicom_web_peers has a name twice, or one of dicom_peers.")


def _shown(default: object) -> str:
    if default in (None, "", ()):
        return "none"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"
