"""Encoders of the virtual cameras: live ones at true time, and loops that are made once and kept in a folder."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from deploy.virtual_camera.picture import Painter
from deploy.virtual_camera.strip import Stamp

VIDEO_CLOCK = 90_000
_START_CODE = re.compile(rb"\x00\x00\x00\x01|\x00\x00\x01")
_LOOP_MAGIC = b"SHLOOP2\n"


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture: its NAL units without start codes, and its time in 1/90000 s."""

    nals: tuple[bytes, ...]
    pts: int
    key: bool


@dataclass(frozen=True, slots=True)
class VideoShape:
    """What a stream looks like. `codec` is `h264` or `h265`; a key frame comes every `gop` pictures."""

    codec: str
    width: int
    height: int
    fps: int
    gop: int
    b_frames: int = 0

    @property
    def bitrate_kbit(self) -> int:
        """The limit that ONVIF declares."""
        return self.width * self.height * self.fps // 8000


def split_nals(annexb: bytes) -> tuple[bytes, ...]:
    """The NAL units of an Annex B byte string."""
    return tuple(part.rstrip(b"\x00") or part for part in _START_CODE.split(annexb) if part)


def nal_kind(codec: str, nal: bytes) -> int:
    """The type number of a NAL unit."""
    return nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63


def is_parameter_set(codec: str, nal: bytes) -> bool:
    """SPS and PPS, and VPS in H.265."""
    return nal_kind(codec, nal) in ((7, 8) if codec == "h264" else (32, 33, 34))


def _options(shape: VideoShape) -> dict[str, str]:
    common = f"keyint={shape.gop}:min-keyint={shape.gop}:scenecut=0:repeat-headers=1:bframes={shape.b_frames}"
    if shape.codec == "h265":
        quiet = f"{common}:log-level=error:pools=none:frame-threads=1:open-gop=0"
        at_once = {} if shape.b_frames else {"tune": "zerolatency"}  # which looks ahead too little for B-frames
        return {"preset": "ultrafast", **at_once, "crf": "30", "x265-params": quiet}
    if shape.b_frames:
        return {"preset": "veryfast", "crf": "26", "x264-params": common}
    return {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "x264-params": common}


class Encoder:
    """Painted frames in, access units out. With no B-frames each frame comes out at once."""

    def __init__(self, shape: VideoShape) -> None:
        self.shape = shape
        name = "libx265" if shape.codec == "h265" else "libx264"
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - narrows the type of a factory
        context.width, context.height, context.pix_fmt = shape.width, shape.height, "yuv420p"
        context.time_base = Fraction(1, VIDEO_CLOCK)
        context.framerate = Fraction(shape.fps)
        context.thread_count = 1
        context.options = _options(shape)
        self._context = context

    def encode(self, frame: av.VideoFrame, pts: int, *, key: bool = False) -> list[AccessUnit]:
        """Code one frame."""
        frame.pts = pts
        frame.time_base = Fraction(1, VIDEO_CLOCK)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return [self._unit(packet) for packet in self._context.encode(frame)]

    def flush(self) -> list[AccessUnit]:
        """What an encoder with B-frames still holds."""
        return [self._unit(packet) for packet in self._context.encode(None)]

    def _unit(self, packet: av.Packet[Any]) -> AccessUnit:
        return AccessUnit(split_nals(bytes(packet)), packet.pts or 0, bool(packet.is_keyframe))


def parameter_sets(shape: VideoShape) -> tuple[bytes, ...]:
    """The parameter sets that an encoder of this shape sends, found by coding one grey frame."""
    encoder = Encoder(shape)
    frame = av.VideoFrame(shape.width, shape.height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    units = encoder.encode(frame, 0, key=True) + encoder.flush()
    return tuple(nal for nal in units[0].nals if is_parameter_set(shape.codec, nal))


def make_loop(shape: VideoShape, name: str, number: int, seconds: int) -> list[AccessUnit]:
    """`seconds` of the scene in coding order; its strip counts from the start of the loop."""
    painter = Painter(shape.width, shape.height, name, number)
    encoder = Encoder(shape)
    units: list[AccessUnit] = []
    for index in range(seconds * shape.fps // shape.gop * shape.gop):
        stamp = Stamp(index * 1000 // shape.fps, index, number)
        units += encoder.encode(painter.frame(stamp), index * VIDEO_CLOCK // shape.fps, key=index % shape.gop == 0)
    return units + encoder.flush()


def cached_loop(folder: Path, shape: VideoShape, name: str, number: int, seconds: int) -> list[AccessUnit]:
    """The loop from `folder`, made and kept there when it is missing or not ours."""
    label = f"{shape.codec}-{shape.width}x{shape.height}-{shape.fps}-{shape.gop}-{shape.b_frames}-{number}-{seconds}"
    path = folder / f"{label}-{name.encode().hex()[:40]}.loop"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return list(_read_loop(path.read_bytes()))
    units = make_loop(shape, name, number, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(_LOOP_MAGIC + b"".join(_packed(unit) for unit in units))
    partial.replace(path)
    return units


def _packed(unit: AccessUnit) -> bytes:
    body = b"".join(struct.pack(">I", len(nal)) + nal for nal in unit.nals)
    return struct.pack(">QBI", unit.pts, unit.key, len(unit.nals)) + body


def _read_loop(data: bytes) -> Iterator[AccessUnit]:
    if not data.startswith(_LOOP_MAGIC):
        raise ValueError("no loop file of this version")
    position = len(_LOOP_MAGIC)
    try:
        while position < len(data):
            pts, key, count = struct.unpack_from(">QBI", data, position)
            position += 13
            nals = []
            for _ in range(count):
                (size,) = struct.unpack_from(">I", data, position)
                nals.append(data[position + 4 : position + 4 + size])
                position += 4 + size
            yield AccessUnit(tuple(nals), pts, bool(key))
    except struct.error as error:
        raise ValueError("a loop file ends early") from error
