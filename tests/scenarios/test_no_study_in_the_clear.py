"""What a thief of the disk would find of studies that came by every way: each byte under the data folder is looked
through for names in every spelling, for identifiers, and for the beginnings of pixel rows at any place."""

from __future__ import annotations

import base64
import signal
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.imaging.corpus import ct_slice
from tests.imaging.ways import WAYS, InPieces, Way
from tests.imaging.webclients import Web, staff_token
from tests.serving import Server, free_port

pytestmark = pytest.mark.timeout(180)

SIDE = 128
WINDOW_BYTES = 8
"""Four pixels with noise: too many to be met in ciphertext by chance."""
LEAST_BYTES = 6
"""Of a name: less could be chance."""
SLICES = 2
NAMES = {
    "vietnamese": ("ISO_IR 192", "Nguyễn^Thị Bí Mật"),
    "russian": ("ISO_IR 144", "Потаённый^Аристарх"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamashiro^Tarou=山城^太郎=やましろ^たろう"),
    "chinese": ("GB18030", "欧阳锋^小东方"),
    "latin": ("ISO_IR 100", "Müllerström^Jörgen"),
}
CODECS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "iso8859_5", "cp1251", "koi8-r", "latin-1")
CODECS_ASIAN = ("gb18030", "shift_jis", "euc_jp", "iso2022_jp")


@dataclass(frozen=True)
class Secret:
    """What must not be found of one study."""

    study: str
    contents: list[bytes]
    words: list[str]
    identifiers: list[str]


def study_of(charset: str | Sequence[str], name: str, number: int) -> Secret:
    study, series = str(generate_uid()), str(generate_uid())
    patient, accession = f"PID-{number}-774411", f"ACC-{number}-993322"
    contents = [
        ct_slice(
            each,
            study,
            series,
            side=SIDE,
            SpecificCharacterSet=charset if isinstance(charset, str) else [*charset],
            PatientName=name,
            PatientID=patient,
            AccessionNumber=accession,
            StudyDescription="HiddenDescription",
        )
        for each in range(1, SLICES + 1)
    ]
    uids = [str(_read(content).SOPInstanceUID) for content in contents]
    words = [word for group in name.split("=") for word in group.replace("^", " ").split()]
    return Secret(study, contents, words, [study, series, *uids, patient, accession, "HiddenDescription"])


def _read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(content))


def spellings(word: str) -> set[bytes]:
    """A word in all encodings that have its letters, composed or not, in capitals, in JSON and in base64."""
    found: set[bytes] = set()
    for form in ("NFC", "NFD"):
        for text in (word, word.upper(), word.lower()):
            shaped = unicodedata.normalize(form, text)
            for codec in (*CODECS, *CODECS_ASIAN):
                try:
                    found.add(shaped.encode(codec))
                except UnicodeEncodeError:
                    continue
            found.add(shaped.encode("ascii", "backslashreplace"))
            found |= in_base64(shaped.encode())
    return {each for each in found if len(each) >= LEAST_BYTES}


def in_base64(word: bytes) -> set[bytes]:
    """The letters of the code that are its own, wherever it stands in what was encoded."""
    found = set()
    for shift in range(3):
        code = base64.b64encode(bytes(shift) + word)
        found.add(code[-(-shift * 8 // 6) : (shift + len(word)) * 8 // 6])
    return found


def texts_of(secret: Secret) -> set[bytes]:
    found = {spelling for word in secret.words for spelling in spellings(word)}
    found |= {each.encode() for each in secret.identifiers}
    found |= {each.encode("utf-16-le") for each in secret.identifiers}
    # As the object itself has it, with the escapes of its character set.
    raw = _read(secret.contents[0]).get_item("PatientName")
    assert raw is not None
    return found | {bytes(raw.value).strip()}


def windows_of(secrets: Iterable[Secret]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Pixels at several places of each row."""
    keys = []
    for secret in secrets:
        for content in secret.contents:
            rows = np.frombuffer(_read(content).PixelData, np.uint8).reshape(SIDE, 2 * SIDE)
            places = range(0, 2 * SIDE, SIDE // 2)
            keys += [rows[:, at : at + WINDOW_BYTES].copy().view(np.uint64).ravel() for at in places]
    return np.unique(np.concatenate(keys))


def holds_pixels(content: bytes, windows: np.ndarray[Any, np.dtype[np.uint64]]) -> bool:
    for shift in range(WINDOW_BYTES):
        whole = (len(content) - shift) // WINDOW_BYTES
        if whole > 0 and np.isin(np.frombuffer(content, np.uint64, whole, shift), windows).any():
            return True
    return False


def found_in(folders: Iterable[Path], secrets: list[Secret]) -> list[str]:
    """What lies in the clear and where, without saying it."""
    texts = sorted(set().union(*(texts_of(secret) for secret in secrets)))
    windows = windows_of(secrets)
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"text {n} in {path.name}" for n, text in enumerate(texts) if text in content]
        found += [f"text {n} names {path}" for n, text in enumerate(texts) if text in str(path).encode()]
        if holds_pixels(content, windows):
            found.append(f"pixels in {path.name}")
        if b"DICM\x02\x00" in content:
            found.append(f"an object in {path.name}")
    return found


def ask_for_everything(web: Web, secret: Secret) -> None:
    """What a viewer asks for: all that may be derived and remembered is."""
    assert web.get("/studies", params={"PatientName": secret.words[0] + "*"}).status_code in (200, 204)
    assert web.get("/studies", params={"PatientID": secret.identifiers[-3]}).json()
    where = f"/studies/{secret.study}"
    for path in ("/metadata", "/instances", "/rendered", "/thumbnail", ""):
        assert web.get(where + path).status_code == 200, path
    series, instance = secret.identifiers[1:3]
    assert web.get(f"{where}/series/{series}/instances/{instance}/frames/1").status_code == 200


def test_nothing_of_a_study_lies_in_the_clear_however_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    secrets = [study_of(*name, number) for number, name in enumerate(list(NAMES.values()) * len(WAYS))]
    settings = {"dicom_port": str(free_port()), "dicom_peers": "SENDER=127.0.0.1"}
    server = Server(tmp_path / "data", settings=settings).start()
    folders = [tmp_path / "data", elsewhere]
    try:
        web = Web(server, staff_token(server))
        for number, secret in enumerate(secrets):
            way: Way = WAYS[number // len(NAMES)](server, web.token)
            assert [way.send(content) for content in secret.contents] == ["kept"] * SLICES
        begun = study_of("ISO_IR 192", "Незавершённый^Пётр", 99)
        InPieces(server, web.token).begin_only(begun.contents[0])
        for secret in secrets:
            ask_for_everything(web, secret)
        secrets.append(begun)
        assert found_in(folders, secrets) == []
        server.stop(signal.SIGKILL)
        assert found_in(folders, secrets) == []
        server.start()
        ask_for_everything(web, secrets[0])
        server.stop()
        assert found_in(folders, secrets) == []
        assert sum(path.stat().st_size for path in folders[0].rglob("*")) > sum(
            len(content) for secret in secrets[:-1] for content in secret.contents
        ), "it is all there"
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()


@pytest.mark.parametrize("alphabet", NAMES)
def test_the_search_finds_what_does_lie_in_the_clear(tmp_path: Path, alphabet: str) -> None:
    secret = study_of(*NAMES[alphabet], 1)
    content, word = secret.contents[0], secret.words[0]
    row = np.frombuffer(_read(content).PixelData, np.uint8)[SIDE * SIDE : SIDE * SIDE + 2 * SIDE].tobytes()
    plants = {
        "object": b"..." + content,
        "row": b"x" * 13 + row,
        "utf-16": word.encode("utf-16-le"),
        "base64": base64.b64encode(b"the name is " + word.encode() + b", they say"),
        "escaped": word.encode("ascii", "backslashreplace") * 2,
        "identifier": b'{"study":"' + secret.study.encode() + b'"}',
    }
    for name, planted in plants.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(bytes(1000) + planted)
        assert found_in([folder], [secret]), name
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "file").write_bytes(np.random.default_rng(1).bytes(4_000_000))
    assert found_in([tmp_path / "noise"], [secret]) == []
