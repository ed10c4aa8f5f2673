"""Decodes access units with FFmpeg's decoders, for tests that look at pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from deploy.virtual_camera.encode import AccessUnit


def decode_units(codec: str, units: Iterable[AccessUnit]) -> list[NDArray[np.uint8]]:
    """The luma planes of the pictures in `units`, in presentation order."""
    decoder = av.CodecContext.create("hevc" if codec == "h265" else "h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = []
    for unit in units:
        packet: av.Packet[Any] = av.Packet(b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nals))
        packet.pts = unit.pts
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    return [grey(frame) for frame in frames]


def grey(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma of a picture."""
    return np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
