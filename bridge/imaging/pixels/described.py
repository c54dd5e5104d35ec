"""From the DICOM JSON model of an instance (PS3.18 F.2) to the few elements that say how its pixels are to be read.

An enhanced object's JSON can have a hundred thousand elements; only those of one frame are made into a dataset.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydicom.dataset import Dataset

from bridge.imaging.pixels.faults import plain_faults

Json = dict[str, Any]

_SHARED_GROUPS, _FRAME_GROUPS = "52009229", "52009230"
_LUT_DATA = frozenset({"00283006", *(f"0028{n}" for n in (1201, 1202, 1203, 1221, 1222, 1223))})
# Each table has at most 65,536 entries of 16 bits.
TABLE_LIMIT_BYTES = 128 * 1024 + 2
_TABLES_LIMIT = 16
_PIXELS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
# Number of frames, the Image Pixel module, spacings, rescale, windows, palettes, look-up tables, presentation shape.
_KEPT = frozenset(
    {"00280008", "00181164", "00182010", "20500020", "00283000", "00283010"}
    | {f"0028{n:04d}" for n in (2, 4, 6, 10, 11, 30, 34, 100, 101, 102, 103, 120, 121)}
    | {f"0028{n}" for n in (1050, 1051, 1052, 1053, 1056, 1101, 1102, 1103)}
    | _LUT_DATA
)
# Pixel measures, frame VOI LUT, pixel value transformation.
_KEPT_GROUPS = frozenset({"00289110", "00289132", "00289145"})


def table_paths(bulk: Iterable[str], index: int) -> list[str]:
    """Which of the values that are left out of the JSON are look-up tables of the frame `index`."""
    found = []
    for path in bulk:
        parts = path.split("/")
        if parts[-1] in _LUT_DATA and not (parts[0] == _FRAME_GROUPS and parts[1] != str(index)):
            found.append(path)
    return found[:_TABLES_LIMIT]


def dataset_of(model: bytes, index: int, tables: Mapping[str, bytes]) -> Dataset:
    """The dataset that `PixelFormat.of` and `Display.of` need, the frame's own groups as the only ones (index 0).

    Args:
        model: the DICOM JSON model of the instance.
        index: the frame, from 0.
        tables: values of `table_paths`, in little endian.

    Raises:
        PixelError: the model cannot be read.
    """
    with plain_faults("The description of the picture"):
        told: Json = msgspec.json.decode(model)
        kept: Json = {tag: element for tag, element in told.items() if tag in _KEPT}
        kept |= {tag: {"vr": told[tag]["vr"]} for tag in _PIXELS & told.keys()}
        for tag, place in ((_SHARED_GROUPS, 0), (_FRAME_GROUPS, index)):
            groups = (told.get(tag) or {}).get("Value") or []
            own = [_only(group, _KEPT_GROUPS) for group in groups[place : place + 1]]
            if own:
                kept[tag] = {"vr": "SQ", "Value": own}
        return Dataset.from_json(_filled(kept, tables))


def _only(dataset: Json, tags: frozenset[str]) -> Json:
    return {tag: element for tag, element in dataset.items() if tag in tags}


def _filled(dataset: Json, tables: Mapping[str, bytes]) -> Json:
    """With the tables in their places; what else is left out stays out."""
    filled: Json = {}
    for tag, element in dataset.items():
        if element.get("vr") == "SQ":
            filled[tag] = {
                "vr": "SQ",
                "Value": [_filled(item, tables) for item in element.get("Value") or []],
            }
        elif "BulkDataURI" not in element:
            filled[tag] = element
        elif (data := tables.get(element["BulkDataURI"])) is not None:
            inline = base64.b64encode(data[:TABLE_LIMIT_BYTES]).decode("ascii")
            filled[tag] = {"vr": element["vr"], "InlineBinary": inline}
    return filled
