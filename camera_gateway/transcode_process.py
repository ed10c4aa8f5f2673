"""The transcoder: a process of its own that turns H.265 into H.264 of at most 640 x 360, for one tile or one file.

It exists for browsers that cannot show H.265, makes viewing copies only, and stands back for recording (`nice`). It
reads standard input, writes standard output, and ends with its input. What it makes keeps the times of its source.

    live    messages of `camera_gateway.live.wire`: INIT and FRAGMENT in, FORMAT and UNIT out
    clip    a recorded file in, a fragmented MP4 without sound out
"""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, Literal
from uuid import UUID

import av
import av.error
import av.logging
from av.codec.context import Flags, ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from camera_gateway.fmp4.boxes import children, find
from camera_gateway.fmp4.nal import VideoCodec, parse_access_unit, split_annexb
from camera_gateway.fmp4.parameters import ParameterSets, VideoFormat, video_format
from camera_gateway.fmp4.writer import TIMESCALE, frame_fragment, init_segment, split_frame
from camera_gateway.live import wire
from camera_gateway.settings import TranscodeSettings
from camera_gateway.tap import LiveFormat, LiveUnit
from storage.errors import MediaError

MAX_WIDTH, MAX_HEIGHT = 640, 360
UNDECODABLE = 3
"""Exit status: the source cannot be decoded."""

_GROUP = 2 * TIMESCALE
_MOST_BARREN = 100
_TIME_BASE = Fraction(1, TIMESCALE)
_NOBODY = UUID(int=0)
_SAMPLE_ENTRY = 78
_OPTIONS = {
    "preset": "veryfast",
    "tune": "zerolatency",
    "crf": "26",
    "maxrate": "900k",
    "bufsize": "900k",
    "g": "1000",  # key frames are asked for by time
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture; `time` in 1/90000 s as its source had it."""

    key: bool
    time: int
    sample: bytes


class Transcoder:
    """Decodes H.265 samples of one format and encodes them small."""

    def __init__(self, hvcc: bytes) -> None:
        self.format: VideoFormat | None = None  # known with the first picture
        self._decoder = _decoder(hvcc)
        self._encoder: VideoCodecContext | None = None
        self._next_key = 0
        self._last = -1
        self._barren = 0

    def take(self, sample: bytes, time: int) -> Iterator[Picture]:
        """Pictures that are ready after this sample, whose presentation time is `time`.

        Raises:
            MediaError: `transcode_undecodable`: too many samples in a row that became no picture.
        """
        self._barren += 1
        if self._barren > _MOST_BARREN:
            raise MediaError("transcode_undecodable", "the camera's H.265 cannot be decoded")
        packet = av.Packet(sample)
        packet.pts = time
        packet.time_base = _TIME_BASE
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return  # a damaged sample; the next key frame mends it
        for frame in frames:
            self._barren = 0
            yield from self._encode(frame)

    def finish(self) -> Iterator[Picture]:
        """The pictures that are still inside."""
        try:
            frames = self._decoder.decode(None)
        except av.error.FFmpegError:
            return  # what was damaged at the end is not shown
        for frame in frames:
            yield from self._encode(frame)

    def _encode(self, frame: VideoFrame) -> Iterator[Picture]:
        time = frame.pts
        if time is None or time <= self._last:
            return
        self._last = time
        encoder = self._encoder or self._open(frame)
        small = frame.reformat(encoder.width, encoder.height, "yuv420p", interpolation=Interpolation.AREA)
        small.pts, small.time_base = time, _TIME_BASE
        key = time >= self._next_key
        small.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        if key:
            self._next_key = time + _GROUP
        for packet in encoder.encode(small):
            unit = parse_access_unit(VideoCodec.H264, split_annexb(bytes(packet)))
            yield Picture(unit.key, packet.pts if packet.pts is not None else time, unit.sample)

    def _open(self, frame: VideoFrame) -> VideoCodecContext:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = fitted(frame.width, frame.height)
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = _TIME_BASE
        encoder.framerate = Fraction(25)
        encoder.thread_count = 1
        encoder.flags |= Flags.global_header
        encoder.options = dict(_OPTIONS)
        encoder.open()
        sets = parse_access_unit(VideoCodec.H264, split_annexb(encoder.extradata or b""))
        self.format = video_format(ParameterSets(VideoCodec.H264, (), sets.sps, sets.pps))
        self._encoder = encoder
        return encoder


def fitted(width: int, height: int) -> tuple[int, int]:
    """The largest even size of that shape inside 640 x 360; a smaller picture stays as it is."""
    scale = min(1.0, MAX_WIDTH / width, MAX_HEIGHT / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def hvcc_of(init: bytes) -> bytes:
    """The decoder configuration record of an init segment whose pictures are H.265.

    Raises:
        MediaError: there is none.
    """
    stsd = find(init, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = next(children(init, stsd.body + 8, stsd.end), None)
    if entry is None or entry.kind not in (b"hvc1", b"hev1") or entry.end - entry.body < _SAMPLE_ENTRY:
        raise MediaError("transcode_codec", "only H.265 is transcoded")
    for child in children(init, entry.body + _SAMPLE_ENTRY, entry.end):
        if child.kind == b"hvcC":
            return init[child.body : child.end]
    raise MediaError("transcode_codec", "no hvcC record")


class LiveFilter:
    """One tile: takes messages, writes messages."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._transcoder: Transcoder | None = None
        self._told: VideoFormat | None = None

    def take(self, kind: int, body: memoryview) -> None:
        """One message. Raises MediaError."""
        if kind == wire.Kind.INIT:
            self._transcoder = Transcoder(hvcc_of(bytes(body)))
        elif kind == wire.Kind.FRAGMENT and self._transcoder is not None:
            frame = split_frame(bytes(body))
            for picture in self._transcoder.take(frame.data, frame.decode_time + frame.offset):
                self._tell(picture, frame.duration)

    def _tell(self, picture: Picture, duration: int) -> None:
        video = self._transcoder.format if self._transcoder else None
        if video is None:
            return
        if video is not self._told:
            self._told = video
            told = LiveFormat(video.codec, video.width, video.height, init_segment(video))
            self._output.write(wire.pack_format(_NOBODY, told))
        unit = LiveUnit(picture.key, picture.time, 0, duration, picture.sample)
        self._output.write(wire.pack_unit(_NOBODY, unit))
        self._output.flush()


def filter_live(source: int, output: BinaryIO) -> None:
    """Work on messages from the descriptor `source` until it ends. Raises MediaError."""
    reader = wire.MessageReader(LiveFilter(output).take)
    while data := os.read(source, 1 << 18):
        reader.feed(data)


class _Plain(io.RawIOBase):
    """Only what a demultiplexer may do with a pipe."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)


def filter_clip(source: BinaryIO, output: BinaryIO) -> None:
    """Transcode a whole recorded file. Raises MediaError."""
    try:
        with av.open(_Plain(source), format="mp4", mode="r") as container:
            _filter_packets(container.streams.video[0], container, output)
    except (av.error.FFmpegError, IndexError) as error:
        raise MediaError("transcode_undecodable", "the file cannot be read") from error


def _filter_packets(stream: av.VideoStream, container: av.container.InputContainer, output: BinaryIO) -> None:
    if stream.codec_context.name != "hevc":
        raise MediaError("transcode_codec", "only H.265 is transcoded")
    transcoder = Transcoder(bytes(stream.codec_context.extradata or b""))
    writer = _ClipWriter(output)
    scale = Fraction(TIMESCALE) * (stream.time_base or _TIME_BASE)
    for packet in container.demux(stream):
        if packet.size == 0 or packet.pts is None:
            continue
        for picture in transcoder.take(bytes(packet), round(packet.pts * scale)):
            writer.take(picture, transcoder.format)
    for picture in transcoder.finish():
        writer.take(picture, transcoder.format)
    writer.finish()


class _ClipWriter:
    """Writes each picture when the next one tells how long it lasts."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._waiting: Picture | None = None
        self._duration = TIMESCALE // 25
        self._sequence = 0

    def take(self, picture: Picture, video: VideoFormat | None) -> None:
        if self._waiting is None and video is not None:
            self._output.write(init_segment(video))
        elif self._waiting is not None:
            self._duration = picture.time - self._waiting.time
            self._write(self._waiting)
        self._waiting = picture

    def finish(self) -> None:
        if self._waiting is None:
            raise MediaError("transcode_undecodable", "the file has no picture that can be decoded")
        self._write(self._waiting)
        self._output.flush()

    def _write(self, picture: Picture) -> None:
        self._sequence += 1
        self._output.write(frame_fragment(self._sequence, picture.time, self._duration, 0, picture.key, picture.sample))
        if self._sequence % 25 == 1:
            self._output.flush()


def _decoder(hvcc: bytes) -> VideoCodecContext:
    decoder = av.CodecContext.create("hevc", "r")
    if not isinstance(decoder, VideoCodecContext):
        raise MediaError("transcode_codec", "this PyAV has no H.265 decoder")
    decoder.extradata = hvcc
    decoder.thread_count = 1
    decoder.thread_type = ThreadType.SLICE
    return decoder


def run_transcode(settings: TranscodeSettings, mode: Literal["live", "clip"]) -> int:
    """Serve standard input until it ends; returns the exit status."""
    os.nice(settings.nice)
    av.logging.set_level(None)
    try:
        if mode == "live":
            filter_live(0, sys.stdout.buffer)
        else:
            filter_clip(sys.stdin.buffer, sys.stdout.buffer)
    except (MediaError, struct.error) as error:
        sys.stderr.write(f"sunhall-gateway transcode: {error}\n")
        return UNDECODABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads any more, and that is fine
    return 0
