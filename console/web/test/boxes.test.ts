import assert from "node:assert/strict";
import test from "node:test";
import type { TimelineSegment } from "../src/core/types.ts";
import { findMoof, headEnd, startByte } from "../src/review/boxes.ts";

function box(type: string, size: number, fill = 0): Uint8Array {
  const bytes = new Uint8Array(size).fill(fill);
  new DataView(bytes.buffer).setUint32(0, size);
  for (let index = 0; index < 4; index += 1) bytes[4 + index] = type.charCodeAt(index);
  return bytes;
}

function moof(): Uint8Array {
  const bytes = box("moof", 40);
  bytes.set(box("mfhd", 16), 8);
  return bytes;
}

function file(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const head = file(box("ftyp", 20), box("uuid", 90, 0x6d), box("moov", 300));

test("the head ends with moov, after ftyp and uuid, and must be whole", () => {
  assert.equal(headEnd(file(head, moof())), 410);
  assert.equal(headEnd(head.slice(0, 400)), null);
  assert.equal(headEnd(new Uint8Array(0)), null);
  assert.equal(headEnd(new Uint8Array(100)), null);
});

test("finds the next fragment among media bytes that only look like one", () => {
  const decoy = box("moof", 40, 0x6f);
  const media = file(box("mdat", 64, 0x6d), decoy, moof(), box("mdat", 64));
  assert.equal(findMoof(media), 104);
  assert.equal(findMoof(media, 105), -1);
  assert.equal(findMoof(media.slice(0, 110)), -1);
});

function segment(seconds: number, bytes: number): TimelineSegment {
  return {
    id: "a",
    t0_us: 0,
    t1_us: seconds * 1e6,
    media_duration: seconds * 90_000,
    timescale: 90_000,
    codec: "",
    bytes,
  };
}

test("starts a few seconds early, and takes a short or early part from its beginning", () => {
  const minute = segment(60, 30_000_000);
  assert.equal(startByte(minute, 35e6), 15_000_000);
  assert.equal(startByte(minute, 10e6), 0);
  assert.equal(startByte(segment(60, 500_000), 35e6), 0);
  assert.equal(startByte(segment(0, 30_000_000), 35e6), 0);
});
