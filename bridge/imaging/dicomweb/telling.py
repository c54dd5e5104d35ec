"""What the metadata of an instance tell a client: all of it, or the attributes that were asked for. Pure, no rights.

The JSON model (PS3.18 F.2) lies there as bytes; it is passed on as it is, with whole addresses for what lies outside.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import msgspec

from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.study import Instance

TRANSFER_SYNTAX = "00083002"
"""AvailableTransferSyntaxUID: no object says of itself how it is stored, so this is told only where it is asked for."""
NAMED = frozenset({"00080016", "00080018", "0020000D", "0020000E"})
"""Always told: which object of which class, study and series this is."""
_GZIP_LEVEL = 6
"""Slices of a series repeat each other: from level 4 on that is found, and takes a quarter of the bytes."""
_BULK_KEY = b'"BulkDataURI":"'
"""Nowhere else in JSON: within a text its quotes would have backslashes."""
_elements: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def told(
    dataset: bytes, entry: StudyEntry, instance: Instance, base: str, wanted: frozenset[str] | None
) -> bytes:
    """One instance's dataset; of `wanted`, tags of its top level, only these."""
    note = instance.note
    if wanted is not None:
        elements = _elements.decode(dataset)
        chosen = {tag: value for tag, value in elements.items() if tag in wanted or tag in NAMED}
        if TRANSFER_SYNTAX in wanted:
            chosen[TRANSFER_SYNTAX] = msgspec.Raw(
                msgspec.json.encode({"vr": "UI", "Value": [note.transfer_syntax]})
            )
        dataset = msgspec.json.encode(chosen, order="sorted")
    where = f"{base}/studies/{entry.uid}/series/{note.series}/instances/{note.sop_instance}/bulkdata/"
    return dataset.replace(_BULK_KEY, _BULK_KEY + where.encode("ascii"))


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """All of them in one compressed stream."""
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
    for each in pieces:
        if piece := packer.compress(each):
            yield piece
    yield packer.flush()
