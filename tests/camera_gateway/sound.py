"""Sound for tests: audio units as a camera would send them, recordings with them, and what others make of it."""

from __future__ import annotations

import math
import os
import shutil
import struct
import subprocess
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from camera_gateway.audio.g711 import A_LAW, MU_LAW
from camera_gateway.packets import AccessUnit, AudioCodec, AudioFormat, AudioUnit
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from storage.clock import US, FakeClock
from storage.model import RunEnd
from tests.camera_gateway.media import MemorySink, run, units
from tests.camera_gateway.test_segmenter import STREAM

NOBODY = 65_534
VIDEO_START_US = units("h264")[0].arrival_us
G711_PACKET = 160
_LAWS = {AudioCodec.PCMA: A_LAW, AudioCodec.PCMU: MU_LAW}


@cache
def g711_sound(codec: AudioCodec, seconds: int = 4) -> tuple[AudioFormat, tuple[AudioUnit, ...]]:
    """A tone in packets of 20 ms, with each code of the law in its first second."""
    codes = {value: code for code, value in enumerate(_LAWS[codec].values)}
    nearest = sorted(codes)
    tone = [round(9000 * math.sin(at * 2 * math.pi * 440 / 8000)) for at in range(8000 * seconds)]
    data = bytes(codes[min(nearest, key=lambda value: abs(value - wanted))] for wanted in tone[:800])
    data = (bytes(range(256)) + data * (10 * seconds))[: 8000 * seconds]
    return AudioFormat(codec, 8000, 1), _units([data[at : at + 160] for at in range(0, len(data), 160)], 160, 8000)


@cache
def aac_sound(seconds: int = 4, rate: int = 16_000) -> tuple[AudioFormat, tuple[AudioUnit, ...]]:
    """A tone as AAC-LC access units, made by ffmpeg."""
    made = Path(tempfile.mkdtemp(prefix="sunhall-sound-")) / "tone.aac"
    tone = f"sine=frequency=440:sample_rate={rate}:duration={seconds}"
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", tone, "-c:a", "aac", "-ac", "1", "-f", "adts", str(made))
    frames = _split_adts(made.read_bytes())
    head = made.read_bytes()[:4]
    kind, index, channels = (head[2] >> 6) + 1, head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
    config = (kind << 11 | index << 7 | channels << 3).to_bytes(2, "big")
    return AudioFormat(AudioCodec.AAC, rate, channels, config), _units(frames, 1024, rate)


def _split_adts(data: bytes) -> list[bytes]:
    frames: list[bytes] = []
    at = 0
    while at < len(data):
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        frames.append(data[at + (7 if data[at + 1] & 1 else 9) : at + size])
        at += size
    return frames


def _units(pieces: Sequence[bytes], samples: int, rate: int) -> tuple[AudioUnit, ...]:
    """Each piece arrives when its last sample was made; the sound begins with the first picture."""
    made = []
    for index, piece in enumerate(pieces):
        arrival_us = VIDEO_START_US + (index + 1) * samples * US // rate
        made.append(AudioUnit(piece, index * samples, arrival_us, arrival_us / US))
    return tuple(made)


def record_with_sound(
    frames: Iterable[AccessUnit], audio: AudioFormat, sound: Iterable[AudioUnit], segment_s: float = 60.0
) -> MemorySink:
    """A recording of both, in the order in which they arrive; ended in good order."""
    sink = MemorySink()
    segmenter, keeper = Segmenter(STREAM, sink, FakeClock(), segment_s), Timekeeper()
    segmenter.hear(audio)
    arriving: list[AccessUnit | AudioUnit] = [*frames, *sound]
    for unit in sorted(arriving, key=lambda unit: unit.arrival_us):
        if isinstance(unit, AudioUnit):
            segmenter.take_audio(unit)
        else:
            keeper.take(unit)
            assert segmenter.take(unit, keeper.line) is None
    segmenter.end(RunEnd.STOPPED)
    assert segmenter.sound_lost == 0
    return sink


def decoded_sound(path: Path) -> array[int]:
    """All samples of a file as ffmpeg decodes them; an error of its decoder fails the test."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-err_detect", "crccheck", "-i", str(path), "-map", "0:a"]
    done = subprocess.run([*command, "-f", "s16le", "-"], check=True, capture_output=True, timeout=60)
    assert done.stderr == b""
    return array("h", done.stdout)


def played_by_vlc(content: bytes, frame_bytes: int) -> tuple[int, float]:
    """How many pictures (of `frame_bytes`, decoded) and how many seconds of sound VLC brings out of a file."""
    pictures, sound_s = shown_by_vlc(content)
    return len(pictures) // frame_bytes, sound_s


def shown_by_vlc(content: bytes) -> tuple[bytes, float]:
    """The pictures (YUV4MPEG2) and the seconds of sound that VLC brings out of a file.

    VLC refuses to be root: then it runs as nobody, in a folder of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="sunhall-vlc-"))
    try:
        clip, pictures, wave = folder / "clip.mp4", folder / "pictures.yuv", folder / "sound.wav"
        clip.write_bytes(content)
        folder.chmod(0o777)
        clip.chmod(0o644)
        command = ["cvlc", "-q", "-I", "dummy", "--no-dbus", "--play-and-exit", "--no-drop-late-frames", "--no-osd"]
        command += ["--no-skip-frames", "--no-video-title-show", "--vout", "yuv", "--yuv-file", str(pictures)]
        command += ["--aout", "afile", "--audiofile-file", str(wave), str(clip), "vlc://quit"]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
        environment = {**os.environ, "HOME": str(folder)}
        subprocess.run(command, check=True, capture_output=True, timeout=90, env=environment)
        if not wave.exists():  # the file has no sound
            return pictures.read_bytes(), 0
        (bytes_a_second,) = struct.unpack_from("<I", wave.read_bytes(), 28)
        return pictures.read_bytes(), (wave.stat().st_size - 44) / bytes_a_second
    finally:
        shutil.rmtree(folder)
