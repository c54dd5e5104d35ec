"""Pictures of 8 bits made larger or smaller: by area where they shrink, bicubic where they grow.

The work is swscale's, one plane at a time, because in colours it would pass through halved chroma.
"""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from bridge.imaging.pixels.colours import Picture

# swscale's filters have a greatest length; what shrinks more than this is first averaged over whole blocks.
_MAX_SHRINK = 8


def scale(picture: Picture, rows: int, columns: int) -> Picture:
    """The picture with that many rows and columns; grey (rows, columns) or colour (rows, columns, 3)."""
    if picture.shape[:2] == (rows, columns):
        return picture
    if picture.ndim == 3:
        planes = [_scale_plane(picture[..., n], rows, columns) for n in range(picture.shape[2])]
        return np.stack(planes, axis=-1)
    return _scale_plane(picture, rows, columns)


def _scale_plane(plane: Picture, rows: int, columns: int) -> Picture:
    plane = _average(_average(plane, rows, 0), columns, 1)
    # Each direction by its own rule: one may shrink while the other grows.
    plane = _resample(plane, min(rows, plane.shape[0]), min(columns, plane.shape[1]), Interpolation.AREA)
    return _resample(plane, rows, columns, Interpolation.BICUBIC)


def _average(plane: Picture, wanted: int, axis: int) -> Picture:
    """Averages whole blocks along one axis, so that `_resample` has not too much to do."""
    block = plane.shape[axis] // (wanted * _MAX_SHRINK)
    if block < 2:
        return plane
    starts = np.arange(0, plane.shape[axis], block)
    sums: npt.NDArray[np.uint32] = np.add.reduceat(plane, starts, axis=axis, dtype=np.uint32)
    lengths = np.diff(np.append(starts, plane.shape[axis])).astype(np.uint32)
    lengths = lengths[:, None] if axis == 0 else lengths[None, :]
    return ((sums + lengths // 2) // lengths).astype(np.uint8)


def _resample(plane: Picture, rows: int, columns: int, interpolation: Interpolation) -> Picture:
    if plane.shape == (rows, columns):
        return plane
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
    scaled = VideoReformatter().reformat(frame, width=columns, height=rows, interpolation=interpolation)
    return np.asarray(scaled.to_ndarray(), np.uint8)
