"""What is really on the screen: reads the machine strip (`deploy.virtual_camera.strip`) out of shown pictures.

`INSTALL` goes into a page by `add_init_script`; it defines `window.sunhallPixels`. The layout of the strip is written
again in JavaScript on purpose: the test must not share code with what it tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

INSTALL = """
window.sunhallPixels = (() => {
  const COLUMNS = 24, ROWS = 4, CELL = 8;
  const canvas = document.createElement("canvas");
  canvas.width = COLUMNS * CELL; canvas.height = ROWS * CELL;
  const context = canvas.getContext("2d", { willReadFrequently: true });

  function crc16(bytes) {
    let value = 0xffff;
    for (const byte of bytes) {
      value ^= byte << 8;
      for (let i = 0; i < 8; i++) value = (value & 0x8000 ? (value << 1) ^ 0x1021 : value << 1) & 0xffff;
    }
    return value;
  }
  function number(bits, from, to) {
    let value = 0;
    for (let i = from; i < to; i++) value = value * 2 + bits[i];
    return value;
  }
  // `source` is an <img>, <video> or <canvas>; the answer is null where no strip can be read.
  function read(source) {
    const width = source.videoWidth || source.naturalWidth || source.width;
    if (!width) return null;
    context.drawImage(source, 0, 0, width * COLUMNS / 80, width * ROWS / 80, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const bits = [];
    for (let row = 0; row < ROWS; row++) for (let column = 0; column < COLUMNS; column++) {
      let sum = 0;
      for (let y = 2; y < 6; y++) for (let x = 2; x < 6; x++) {
        const at = ((row * CELL + y) * canvas.width + column * CELL + x) * 4;
        sum += (pixels[at] + pixels[at + 1] + pixels[at + 2]) / 3;
      }
      bits.push(sum / 16 > 128 ? 1 : 0);
    }
    const bytes = [];
    for (let i = 0; i < 96; i += 8) bytes.push(number(bits, i, i + 8));
    if (bytes[0] !== 0xa6 || crc16(bytes.slice(0, 10)) !== number(bits, 80, 96)) return null;
    return { timeMs: number(bits, 8, 50), counter: number(bits, 50, 66), camera: number(bits, 66, 80) };
  }
  // All elements of a kind, through open shadow roots.
  function all(name, root = document) {
    const found = [...root.querySelectorAll(name)];
    for (const element of root.querySelectorAll("*"))
      if (element.shadowRoot) found.push(...all(name, element.shadowRoot));
    return found;
  }
  // Latency of `count` presented frames of each video that is there: when shown minus when painted, milliseconds.
  function latencies(seconds) {
    const samples = all("video").map(() => []);
    const end = performance.now() + seconds * 1000;
    all("video").forEach((video, index) => {
      let last = -1;
      const step = (now, metadata) => {
        const strip = read(video);
        if (strip && strip.counter !== last) {
          last = strip.counter;
          const shown = performance.timeOrigin + Math.max(now, metadata.expectedDisplayTime);
          samples[index].push(shown - strip.timeMs);
        }
        if (now < end) video.requestVideoFrameCallback(step);
      };
      video.requestVideoFrameCallback(step);
    });
    return new Promise((resolve) => setTimeout(() => resolve(samples), seconds * 1000 + 200));
  }
  return { read, all, latencies };
})();
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a shown picture's strip says."""

    time_ms: int
    counter: int
    camera: int


def _seen(answer: Any) -> Seen | None:
    return None if answer is None else Seen(int(answer["timeMs"]), int(answer["counter"]), int(answer["camera"]))


def strip_in(element: Locator) -> Seen | None:
    """The strip in a `<video>`, `<img>` or `<canvas>`, or None."""
    return _seen(element.evaluate("element => window.sunhallPixels.read(element)"))


def strips_of_videos(page: Page) -> list[Seen | None]:
    """The strips of all videos of a page, in document order."""
    answers = page.evaluate("() => window.sunhallPixels.all('video').map(window.sunhallPixels.read)")
    return [_seen(answer) for answer in answers]


def latencies(page: Page, seconds: float) -> list[list[float]]:
    """For each video the ages, in milliseconds, of the frames shown during `seconds`."""
    answer: list[list[float]] = page.evaluate("seconds => window.sunhallPixels.latencies(seconds)", seconds)
    return answer
