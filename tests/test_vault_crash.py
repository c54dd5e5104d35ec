"""A writer that is killed at any moment: what it was told is durable can be read, and nothing else is harmed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.vault import ObjectKind, Trouble, Vault, parse_ref

ROOT = Path(__file__).resolve().parents[1]
WRITER = """
import random, sys
from pathlib import Path
from bridge.vault import ObjectKind, Vault
seed = int(sys.argv[2])
writer = Vault(Path(sys.argv[1])).create(ObjectKind.RECORDING)
print(writer.ref, flush=True)
streams = [writer.new_stream(), writer.new_stream()]
sizes = random.Random(seed)
while True:
    for stream in streams:
        body = bytes([stream.next_number % 251]) * sizes.randrange(1, 300_000)
        number = stream.append(body, b"note")
        print(stream.stream, number, len(body), flush=True)
"""


@pytest.mark.parametrize("seed", range(10))
def test_what_was_acknowledged_before_a_kill_is_readable(tmp_path: Path, seed: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "data"), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    ref = parse_ref(writer.stdout.readline().strip())
    said = [writer.stdout.readline() for _ in range(random.Random(seed).randrange(1, 60))]
    writer.kill()
    # Whatever it managed to say before it died was acknowledged as well.
    said += writer.communicate()[0].splitlines(keepends=True)
    acknowledged = [tuple(map(int, line.split())) for line in said if line.endswith("\n")]

    vault = Vault(tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.parts")}
    with vault.open(ref).stream(1) as first, vault.open(ref).stream(2) as second:
        for stream, number, size in acknowledged:
            body = (first if stream == 1 else second).read(number)
            assert body == bytes([number % 251]) * size
        # One more part may have become whole without its writer having said so.
        assert len(acknowledged) <= len(first.parts) + len(second.parts) <= len(acknowledged) + 1
    allowed = {Trouble.UNSEALED, Trouble.UNENDED, Trouble.CUT}
    assert {finding.trouble for finding in vault.verify(ref)} <= allowed
    assert before == {path: path.read_bytes() for path in before}

    salvage = vault.reopen(ref)
    with salvage.new_stream() as stream:
        stream.append(b"after the crash")
        stream.end()
    assert [row.ended for row in salvage.seal()] == [False, False, True]
    assert {finding.trouble for finding in vault.verify(ref)} <= allowed - {Trouble.UNSEALED}
    assert list(vault.objects(ObjectKind.RECORDING)) == [ref]
