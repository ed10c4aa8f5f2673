"""Recorded files without sound, of both codecs, as VLC and Chromium play them (ffmpeg: `test_segmenter.py`)."""

from __future__ import annotations

import hashlib
import subprocess
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.camera_gateway.media import transport_stream, units
from tests.camera_gateway.sound import shown_by_vlc
from tests.camera_gateway.test_segmenter import record
from tests.e2e.conftest import CHROMIUM, FLAGS

PICTURE_BYTES = 320 * 180 * 3 // 2

PLAY = """async bytes => {
  const video = document.createElement('video');
  video.muted = true;
  video.src = URL.createObjectURL(new Blob([new Uint8Array(bytes)], {type: 'video/mp4'}));
  const ended = new Promise((done, failed) => {
    video.addEventListener('ended', done, {once: true});
    video.addEventListener('error', () => failed(new Error(video.error.message)), {once: true});
  });
  await video.play();
  await ended;
  return {at: video.currentTime, width: video.videoWidth, height: video.videoHeight,
          pictures: video.getVideoPlaybackQuality().totalVideoFrames};
}"""


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["h264b", "h265"])
def test_vlc_plays_every_picture(kind: str) -> None:
    played, sound_s = shown_by_vlc(record(units(kind)).files[0])
    _, *frames = played.split(b"FRAME\n")  # YUV4MPEG2
    shown = [picture for picture, _ in groupby(_hash(frame) for frame in frames)]  # it may show the first twice
    sent = _decoded(transport_stream(kind))
    assert len(sent) == len(units(kind))
    assert shown in (sent, sent[:-1])  # it closes its window at the end of the last one
    assert sound_s == 0


def _decoded(path: Path) -> list[bytes]:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    planes = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [_hash(planes[at : at + PICTURE_BYTES]) for at in range(0, len(planes), PICTURE_BYTES)]


def _hash(picture: bytes) -> bytes:
    return hashlib.sha256(picture).digest()


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["h264", "h264b"])
def test_chromium_plays_a_file_as_it_lies_on_the_disk(kind: str) -> None:
    """Debian's Chromium decodes no H.265 without hardware; it is shown transcoded (`tests/e2e/test_transcode.py`)."""
    content = record(units(kind)).files[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_content("<html></html>")
        seen: dict[str, Any] = page.evaluate(PLAY, list(content))
        browser.close()
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["at"] == pytest.approx(len(units(kind)) / 25, abs=0.15)
    assert seen["pictures"] > 0
