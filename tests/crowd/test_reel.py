"""What the crowd's cameras show."""

from __future__ import annotations

import av
import numpy as np
import pytest

from bridge.crowd import reel
from bridge.crowd.reel import Frames


@pytest.fixture(scope="module")
def layers() -> dict[str, Frames]:
    return {rid: frames for rid, _, frames in reel.encode(1)}


@pytest.mark.parametrize("layer", reel.LAYERS, ids=lambda layer: layer.rid)
def test_each_layer_decodes_to_pictures_of_its_size_that_move(
    layers: dict[str, Frames], layer: reel.Layer
) -> None:
    decoder = av.CodecContext.create("libvpx", "r")
    pictures = [picture for _, encoded in layers[layer.rid] for picture in decoder.decode(av.Packet(encoded))]
    assert len(pictures) == layer.frames_per_second
    assert {(picture.width, picture.height) for picture in pictures} == {(layer.width, layer.height)}
    first, middle = (pictures[at].to_ndarray(format="gray").astype(int) for at in (0, len(pictures) // 8))
    assert np.abs(first - middle).mean() > 1


def test_only_the_first_picture_is_a_keyframe(layers: dict[str, Frames]) -> None:
    for frames in layers.values():
        assert [keyframe for keyframe, _ in frames] == [True] + [False] * (len(frames) - 1)
