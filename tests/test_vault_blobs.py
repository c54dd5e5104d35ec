"""Blobs of the vault: any range is read, and what is cut or swapped is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.vault import ObjectKind, Trouble, Vault, VaultError
from tests.vaulted import troubles


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def vault(data: Path) -> Vault:
    return Vault(data)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 1234])
@pytest.mark.parametrize("step", [1, 37, 100, 5000])
def test_any_range_of_a_blob_is_read(vault: Vault, size: int, step: int) -> None:
    content = os.urandom(size)
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    for start in range(0, size, step):
        blob.write(content[start : start + step])
    blob.end()
    writer.seal()
    assert troubles(vault, writer.ref) == []
    with vault.open(writer.ref).blob(1) as reader:
        assert reader.size_bytes == size
        assert b"".join(reader.iterate()) == content
        for offset in (0, 1, 99, 100, 150, size - 1, size, size + 5):
            for length in (0, 1, 100, 101, size):
                assert reader.read(max(0, offset), length) == content[max(0, offset) :][:length]


@pytest.mark.parametrize("cut", [1, 84, 100, 184, 270])
def test_a_blob_that_is_cut_is_refused(vault: Vault, data: Path, cut: int) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    blob.write(bytes(250))
    blob.end()
    path = data / "imaging" / writer.ref.id / "00000001.parts"
    os.truncate(path, path.stat().st_size - cut)
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    assert caught.value.trouble is Trouble.UNENDED


def test_a_blob_without_a_chunk_or_with_swapped_ones_is_refused(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    blob.write(bytes(250))
    blob.end()
    path = data / "imaging" / writer.ref.id / "00000001.parts"
    whole = path.read_bytes()
    path.write_bytes(whole[:184] + whole[368:])
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    assert caught.value.trouble is Trouble.MISSING
    path.write_bytes(whole[184:368] + whole[:184] + whole[368:])
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    path.write_bytes(whole[:184] + whole[:184] + whole[368:])
    with vault.open(writer.ref).blob(1) as reader:
        assert reader.read(0, 100) == bytes(100)
        with pytest.raises(VaultError, match="part 1 is altered"):
            reader.read(90, 20)


def test_a_discarded_blob_leaves_nothing(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob()
    blob.write(bytes(200_000))
    blob.discard()
    assert vault.open(writer.ref).streams() == []
