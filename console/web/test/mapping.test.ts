import assert from "node:assert/strict";
import test from "node:test";
import type { TimelineSegment, TimelineStream } from "../src/core/types.ts";
import { chooseStream, elementTime, mediaRate, presentedWall, segmentAt, wallTime } from "../src/review/mapping.ts";

const T0 = 1_795_296_206_000_000;

function segment(
  id: string,
  from: number,
  seconds: number,
  mediaSeconds = seconds,
  codec = "avc1.64001F",
): TimelineSegment {
  return {
    id,
    t0_us: T0 + from * 1e6,
    t1_us: T0 + (from + seconds) * 1e6,
    media_duration: Math.round(mediaSeconds * 90_000),
    timescale: 90_000,
    codec,
    bytes: 1000,
  };
}

const lane = [segment("a", 0, 60), segment("b", 60, 60, 60.3), segment("d", 180, 60, 59.7)];

test("finds the segment that holds a moment; ends are half-open; a gap holds nothing", () => {
  assert.equal(segmentAt(lane, T0)?.id, "a");
  assert.equal(segmentAt(lane, T0 + 60e6)?.id, "b");
  assert.equal(segmentAt(lane, T0 + 60e6 - 1)?.id, "a");
  assert.equal(segmentAt(lane, T0 + 130e6), null);
  assert.equal(segmentAt(lane, T0 - 1), null);
  assert.equal(segmentAt(lane, T0 + 240e6), null);
  assert.equal(segmentAt([], T0), null);
});

test("maps linearly over the media duration: a drifting camera clock moves nothing at the ends", () => {
  const drifting = lane[1] as TimelineSegment;
  assert.ok(Math.abs(mediaRate(drifting) - 1.005) < 1e-9);
  assert.ok(Math.abs(elementTime(drifting, drifting.t0_us) - drifting.t0_us / 1e6) < 1e-6);
  assert.ok(Math.abs(elementTime(drifting, drifting.t1_us) - (drifting.t0_us / 1e6 + 60.3)) < 1e-5);
});

test("there and back is exact to ten microseconds at Unix-time magnitudes", () => {
  for (const one of lane) {
    for (const share of [0, 0.1, 0.333, 0.5, 0.999]) {
      const us = Math.round(one.t0_us + share * (one.t1_us - one.t0_us));
      assert.ok(Math.abs(wallTime(one, elementTime(one, us)) - us) <= 10);
    }
  }
});

test("a presented frame belongs to the later segment where media overlap", () => {
  const first = lane[1] as TimelineSegment;
  assert.equal(presentedWall(lane, first.t0_us / 1e6), first.t0_us);
  assert.equal(presentedWall(lane, T0 / 1e6 - 1), null);
});

function stream(role: string, codec: string, count = 1): TimelineStream {
  return {
    id: role,
    role,
    codec,
    width: 1,
    height: 1,
    segments: Array.from({ length: count }, (_, index) => segment(`${role}${index}`, index * 60, 60, 60, codec)),
  };
}

test("plays the main stream, else a substream it can decode, else converted, else nothing", () => {
  const h264 = (codec: string): boolean => codec.startsWith("avc1");
  const main = stream("main", "hvc1.1.6.L93.B0");
  assert.equal(chooseStream([stream("sub", "avc1.42C01F"), stream("main", "avc1.64001F")], h264)?.stream.role, "main");
  assert.deepEqual(chooseStream([main, stream("sub", "avc1.42C01F")], h264)?.how, "substream");
  assert.equal(chooseStream([main, stream("sub", "avc1.42C01F", 0)], h264)?.how, "converted");
  assert.equal(chooseStream([stream("main", "avc1.64001F", 0)], h264), null);
});
