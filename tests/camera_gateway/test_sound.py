"""Recordings with sound, as ffmpeg, VLC and Chromium play them; and as our own reader finds them after a crash."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from camera_gateway.audio.g711 import A_LAW, MU_LAW
from camera_gateway.fmp4.reader import read_fragments, read_head, read_samples
from camera_gateway.fmp4.salvage import inspect, salvage
from camera_gateway.packets import AccessUnit, AudioCodec, AudioFormat, AudioUnit
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.timing import Timekeeper
from storage.clock import US, FakeClock
from storage.model import RunEnd
from tests.camera_gateway.media import MemorySink, packets, picture_hashes, run, transport_stream, units
from tests.camera_gateway.sound import (
    aac_sound,
    decoded_sound,
    g711_sound,
    played_by_vlc,
    record_with_sound,
)
from tests.camera_gateway.test_segmenter import STREAM, feed, record
from tests.e2e.conftest import CHROMIUM, FLAGS

LAWS = {AudioCodec.PCMA: A_LAW, AudioCodec.PCMU: MU_LAW}
KINDS = list(AudioCodec)


def sound_of(codec: AudioCodec, seconds: int = 4) -> tuple[AudioFormat, tuple[AudioUnit, ...]]:
    return aac_sound(seconds) if codec is AudioCodec.AAC else g711_sound(codec, seconds)


@cache
def recording(codec: AudioCodec) -> MemorySink:
    """Four seconds in one file."""
    return record_with_sound(units("h264"), *sound_of(codec))


@cache
def recording_in_files(codec: AudioCodec) -> MemorySink:
    """Twelve seconds in files of two to three."""
    return record_with_sound(units("h264", seconds=12), *sound_of(codec, 12), segment_s=2)


def put(folder: Path, content: bytes, name: str = "made.mp4") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def sound_packets(path: Path) -> list[dict[str, Any]]:
    shown = run(
        *("ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-of", "json"),
        *("-show_data_hash", "sha256", str(path)),
    )
    found: list[dict[str, Any]] = json.loads(shown)["packets"]
    return found


@pytest.mark.parametrize("codec", KINDS)
def test_ffmpeg_reads_both_tracks(codec: AudioCodec, tmp_path: Path) -> None:
    sink = recording(codec)
    made = put(tmp_path, sink.files[0])
    assert picture_hashes(made) == picture_hashes(transport_stream("h264"))
    for found in (packets(made), sound_packets(made)):
        times = [int(packet["dts"]) for packet in found]
        assert times == sorted(set(times))
        assert times[0] == 0
    kept = "mp4a.40.2" if codec is AudioCodec.AAC else "flac"
    expected = f"{record(units('h264')).starts[0].codec},{kept}"
    assert sink.starts[0].codec == read_head(io.BytesIO(sink.files[0])).codec == expected
    run("ffmpeg", "-v", "error", "-xerror", "-i", str(made), "-f", "null", "-")


@pytest.mark.parametrize("codec", LAWS)
def test_the_original_g711_bytes_come_back_from_the_files(codec: AudioCodec, tmp_path: Path) -> None:
    """Over several files, each sample once: what ffmpeg decodes is what the camera sent."""
    sink = recording_in_files(codec)
    assert len(sink.files) >= 4
    back = b""
    for index, content in enumerate(sink.files):
        back += LAWS[codec].encode(decoded_sound(put(tmp_path, content, f"{index}.mp4")))
    sent = b"".join(unit.data for unit in sound_of(codec, 12)[1])
    assert len(sent) - len(back) <= 2 * 160  # only what was made after the last picture
    assert back == sent[: len(back)]


def test_aac_access_units_are_copied_each_once(tmp_path: Path) -> None:
    sink = recording_in_files(AudioCodec.AAC)
    kept: list[bytes] = []
    for content in sink.files:
        for fragment in read_fragments(io.BytesIO(content), read_head(io.BytesIO(content)).size):
            at = fragment.sound_start
            for piece in fragment.sound:
                kept.append(content[at : at + piece.size])
                at += piece.size
    sent = [unit.data for unit in sound_of(AudioCodec.AAC, 12)[1]]
    assert kept == sent[: len(kept)]
    assert len(sent) - len(kept) <= 3
    samples = [len(decoded_sound(put(tmp_path, content))) for content in sink.files]
    assert sum(samples) == 1024 * len(kept)


@pytest.mark.parametrize("codec", KINDS)
def test_sound_lies_beside_its_pictures_in_every_file(codec: AudioCodec) -> None:
    """The source has no delay between the two, so in each file both begin and end within a unit of each other."""
    audio, _ = sound_of(codec, 12)
    unit_s = (1024 if codec is AudioCodec.AAC else 160) / audio.rate
    for content in recording_in_files(codec).files:
        fragments = list(read_fragments(io.BytesIO(content), read_head(io.BytesIO(content)).size))
        pieces = [piece for fragment in fragments for piece in fragment.sound]
        assert pieces[0].time / audio.rate <= unit_s
        end = pieces[-1].time + pieces[-1].duration
        assert abs(end / audio.rate - fragments[-1].end_time / 90_000) <= 2 * unit_s + 0.04
        for early, late in pairwise(pieces):
            assert early.time + early.duration == late.time


@pytest.mark.parametrize("codec", KINDS)
def test_a_recording_that_begins_in_the_past_has_its_sound_in_the_same_places(codec: AudioCodec) -> None:
    """A pre-roll hands in its pictures at once, when all their sound is there already."""
    audio, sound = sound_of(codec, 12)
    sink, keeper = MemorySink(), Timekeeper()
    segmenter = Segmenter(STREAM, sink, FakeClock(), 2)
    segmenter.hear(audio)
    for heard in sound:
        segmenter.take_audio(heard)
    for unit in units("h264", seconds=12):
        keeper.take(unit)
        assert segmenter.take(unit, keeper.line) is None
    segmenter.end(RunEnd.STOPPED)
    packet = 1024 if codec is AudioCodec.AAC else 160
    assert len(sink.files) == len(recording_in_files(codec).files)
    for content, arrived in zip(sink.files, recording_in_files(codec).files, strict=True):
        for place, expected in zip(sound_places(content), sound_places(arrived), strict=True):
            assert abs(place - expected) <= packet  # what came just after the cut is in the next file


def sound_places(content: bytes) -> tuple[int, int]:
    """Where the sound of a file begins and ends."""
    fragments = read_fragments(io.BytesIO(content), read_head(io.BytesIO(content)).size)
    pieces = [piece for fragment in fragments for piece in fragment.sound]
    return pieces[0].time, pieces[-1].time + pieces[-1].duration


@pytest.mark.parametrize("codec", KINDS)
def test_pictures_are_the_same_with_and_without_sound(codec: AudioCodec) -> None:
    silent = record(units("h264"))
    content = recording(codec).files[0]
    fragments = content[read_head(io.BytesIO(content)).size :]
    with_sound = [(facts, data) for facts, data in read_samples(fragments)]
    plain = silent.files[0]
    without = [(facts, data) for facts, data in read_samples(plain[read_head(io.BytesIO(plain)).size :])]
    assert with_sound == without
    assert recording(codec).notes[0][-1] == silent.notes[0][-1]


def test_without_a_plan_for_sound_there_is_no_track() -> None:
    sink = record(units("h264"))
    assert "," not in sink.starts[0].codec
    assert b"soun" not in sink.files[0][:2000]


def test_sound_that_cannot_be_kept_leaves_the_pictures_alone() -> None:
    sink = MemorySink()
    segmenter = Segmenter(STREAM, sink, FakeClock())
    segmenter.hear(AudioFormat(AudioCodec.AAC, 8000, 1, b"\xff\xff"))
    segmenter.take_audio(AudioUnit(b"\x01", 0, 0, 0.0))
    assert feed(segmenter, units("h264")) == []
    assert "," not in sink.starts[0].codec


def test_a_flood_of_sound_costs_the_sound_alone() -> None:
    """More than any camera sends between two pictures: bounded, counted, and the pictures go on."""
    sink = MemorySink()
    segmenter = Segmenter(STREAM, sink, FakeClock())
    segmenter.hear(AudioFormat(AudioCodec.PCMU, 8000, 1))
    frames = units("h264")
    assert feed(segmenter, frames[:30]) == []
    for number in range(40):
        segmenter.take_audio(AudioUnit(b"\xff" * 60_000, number * 60_000, frames[30].arrival_us, 1.0))
    assert feed(segmenter, frames[30:]) == []
    assert segmenter.sound_lost >= 20
    assert sink.notes[0][-1].frames == len(frames) - 1  # the last one's length is not known yet


def test_hostile_sound_beside_slow_pictures_leaves_a_file_that_can_be_read_back() -> None:
    """A picture each four seconds, and sound of single samples with a hole after each."""
    frames = [
        replace(unit, dts=unit.dts * 100, pts=unit.pts * 100, arrival_us=unit.arrival_us + unit.dts * 1100)
        for unit in units("h264")[:20]
    ]
    begin_us = frames[0].arrival_us
    sound = []
    for number in range(14_000):
        arrival_us = begin_us + number * 42 * 125
        sound.append(AudioUnit(b"\xd5", number * 42, arrival_us, arrival_us / US))
    sink, keeper = MemorySink(), Timekeeper()
    segmenter = Segmenter(STREAM, sink, FakeClock())
    segmenter.hear(AudioFormat(AudioCodec.PCMA, 8000, 1))
    arriving: list[AccessUnit | AudioUnit] = [*frames, *sound]
    for unit in sorted(arriving, key=lambda unit: unit.arrival_us):
        if isinstance(unit, AudioUnit):
            segmenter.take_audio(unit)
        else:
            keeper.take(unit)
            assert segmenter.take(unit, keeper.line) is None
    segmenter.end(RunEnd.STOPPED)
    found = 0
    for content in sink.files:
        fragments = list(read_fragments(io.BytesIO(content), read_head(io.BytesIO(content)).size))
        assert fragments[-1].end == len(content)
        found += sum(len(fragment.samples) for fragment in fragments)
    assert found == len(frames)
    assert segmenter.sound_lost > 10_000


@pytest.mark.parametrize("codec", KINDS)
def test_a_torn_file_keeps_its_whole_fragments(codec: AudioCodec, tmp_path: Path) -> None:
    content = recording(codec).files[0]
    size = read_head(io.BytesIO(content)).size
    whole = list(read_fragments(io.BytesIO(content), size))
    assert len(whole) > 4
    torn = whole[4]
    for cut in (torn.end - 80, torn.sound_start + 3, torn.sound_start, torn.start + 20):
        path = put(tmp_path, content[:cut] + b"\0" * (torn.end - cut))  # a power cut leaves zeros
        facts = salvage(path)
        assert facts.frames == sum(len(fragment.samples) for fragment in whole[:4])
        assert inspect(path) == facts
        assert facts.head.codec == read_head(io.BytesIO(content)).codec
        run("ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-")


@pytest.mark.peer
@pytest.mark.parametrize("codec", [AudioCodec.AAC, AudioCodec.PCMA])
def test_vlc_plays_pictures_and_sound(codec: AudioCodec) -> None:
    pictures, sound_s = played_by_vlc(recording(codec).files[0], 320 * 180 * 3 // 2)
    assert pictures >= len(units("h264")) - 1  # it closes its window at the end of the last one
    assert sound_s == pytest.approx(4, abs=0.15)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a real browser that may play without a click."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, "--autoplay-policy=no-user-gesture-required"]
        )
        shown = browser.new_page()
        shown.set_content("<html></html>")
        yield shown
        browser.close()


PLAY = """async ([parts, type, wait]) => {
  const video = document.createElement('video');
  const faults = [];
  video.addEventListener('error', () => faults.push(video.error.message));
  const media = new MediaSource();
  video.src = URL.createObjectURL(media);
  await new Promise(opened => media.addEventListener('sourceopen', opened, {once: true}));
  const buffer = media.addSourceBuffer(type);
  buffer.addEventListener('error', () => faults.push('append'));
  for (const [offset, part] of parts) {
    buffer.timestampOffset = offset;
    const done = new Promise(ended => buffer.addEventListener('updateend', ended, {once: true}));
    buffer.appendBuffer(Uint8Array.from(atob(part), char => char.charCodeAt(0)));
    await done;
  }
  const ranges = [...Array(video.buffered.length).keys()].map(n => [video.buffered.start(n), video.buffered.end(n)]);
  media.endOfStream();
  await video.play();
  await new Promise(ended => { video.addEventListener('ended', ended, {once: true}); setTimeout(ended, wait); });
  return {faults, ranges, at: video.currentTime, sound: video.webkitAudioDecodedByteCount,
          pictures: video.getVideoPlaybackQuality().totalVideoFrames};
}"""


@pytest.mark.peer
@pytest.mark.parametrize("codec", KINDS)
def test_chromium_plays_pictures_and_sound(codec: AudioCodec, page: Page) -> None:
    """All files of a run, one after the other at their wall times: one range, no stop, sound decoded."""
    sink = recording_in_files(codec)
    first = sink.starts[0].t0_us
    parts = [
        [(start.t0_us - first) / US, base64.b64encode(content).decode()]
        for start, content in zip(sink.starts, sink.files, strict=True)
    ]
    type_ = f'video/mp4; codecs="{sink.starts[0].codec}"'
    assert page.evaluate("type => MediaSource.isTypeSupported(type)", type_)
    seen = page.evaluate(PLAY, [parts, type_, 30_000])
    assert seen["faults"] == []
    assert len(seen["ranges"]) == 1
    assert seen["at"] > 11.5
    assert seen["sound"] > 5_000
    assert seen["pictures"] > 0
