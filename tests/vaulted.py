"""Objects in a vault for its tests, and what is found of them."""

from __future__ import annotations

from bridge.vault import ObjectKind, ObjectRef, Trouble, Vault

BODY = b"the start of a frame"
NOTE = b"Nguyen Van A"


def store(vault: Vault, parts: int = 3, kind: ObjectKind = ObjectKind.RECORDING) -> ObjectRef:
    """A sealed object with one ended stream."""
    writer = vault.create(kind)
    with writer.new_stream() as stream:
        for number in range(parts):
            stream.append(BODY + bytes([number]), NOTE)
        stream.end()
    writer.seal()
    return writer.ref


def troubles(vault: Vault, ref: ObjectRef) -> list[Trouble]:
    return [finding.trouble for finding in vault.verify(ref)]


def bodies(vault: Vault, ref: ObjectRef, stream: int = 1) -> list[bytes]:
    with vault.open(ref).stream(stream) as reader:
        return [body for _, body in reader.iterate()]
