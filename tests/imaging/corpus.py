"""Real and made objects for the tests of imaging, and a whole archive in a folder."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import data_store
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Catalogue, StoreEntries
from bridge.imaging.workers import Workers
from bridge.store import Store, sqlite_url
from bridge.vault import Vault

FOLDERS = (Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent / "data")
_NEEDED = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
REFUSED = {
    "MR_truncated.dcm": "cut within its pixels",
    "rtplan_truncated.dcm": "cut within a sequence",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "its pixels have no end",
    "bad_sequence.dcm": "its SOPInstanceUID is no UID",
    "nested_priv_SQ.dcm": "pixels without rows and columns",
}
"""Files of the packages that look whole to pydicom, and are not."""


def candidates() -> list[Path]:
    """All files of pydicom and pydicom-data that may be objects."""
    named = {".py", ".pyc", ".txt", ".json", ".md", ".zip", ".csv", ".xml", ".cfg"}
    return [
        path
        for folder in FOLDERS
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in named
    ]


@cache
def valid() -> list[Path]:
    """Those that are Part 10 files of a whole object, as pydicom sees it."""
    return [path for path in candidates() if path.name not in REFUSED and _is_object(path)]


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, specific_tags=list(_NEEDED))
        except Exception:
            return False
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        return bool(syntax) and all(dataset.get(name) for name in _NEEDED)


def ct_slice(number: int, study: str, series: str, *, side: int = 512, **changes: object) -> bytes:
    """A slice of a CT as a file: 16 bits a pixel, noise over a disc."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    random = np.random.default_rng(number)
    y, x = np.ogrid[:side, :side]
    disc = ((x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 2.2) ** 2) * 1000
    pixels = (disc + random.normal(0, 20, (side, side))).astype(np.int16)
    dataset.Rows = dataset.Columns = side
    dataset.PixelData = pixels.tobytes()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=[series, str(number)]
    )
    dataset.InstanceNumber = number
    for name, value in changes.items():
        setattr(dataset, name, value)
    return file_of(dataset)


def file_of(dataset: FileDataset) -> bytes:
    """The dataset as a Part 10 file."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, as the server's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def archive_in(folder: Path, workers: Workers) -> Iterator[Archive]:
    """The archive of this data folder, as after a start of the server."""
    folder.mkdir(exist_ok=True)
    with running_loop() as loop:
        store = asyncio.run_coroutine_threadsafe(
            Store.open(sqlite_url(folder / "bridge.sqlite")), loop
        ).result(60)
        try:
            vault = Vault(folder)
            archive = Archive(vault, Catalogue(vault, StoreEntries(store, loop)), workers)
            list(archive.recover())
            yield archive
        finally:
            asyncio.run_coroutine_threadsafe(store.close(), loop).result(60)
