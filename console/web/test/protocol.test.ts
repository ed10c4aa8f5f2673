import assert from "node:assert/strict";
import test from "node:test";
import { fragmentTimes } from "../src/live/fragment.ts";
import { parseControl, parseMedia } from "../src/live/protocol.ts";

function frame(...bytes: number[]): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

test("reads the head of a media frame, big-endian", () => {
  const media = parseMedia(frame(0x01, 0x02, 1, 1, 9, 8, 7));
  assert.equal(media?.channel, 258);
  assert.equal(media?.kind, "fragment");
  assert.equal(media?.key, true);
  assert.deepEqual([...(media?.payload ?? [])], [9, 8, 7]);
  assert.equal(parseMedia(frame(0, 7, 0, 0))?.kind, "init");
  assert.equal(parseMedia(frame(0, 7, 1, 2))?.key, false);
});

test("drops frames that are too short or of an unknown type", () => {
  assert.equal(parseMedia(frame(0, 7, 1)), null);
  assert.equal(parseMedia(frame(0, 7, 9, 0, 1)), null);
});

test("reads every control message", () => {
  assert.deepEqual(
    parseControl('{"op":"info","channel":7,"stream":"s","role":"sub","codec":"avc1.64001F","width":640,"height":360}'),
    {
      op: "info",
      channel: 7,
      stream: "s",
      role: "sub",
      codec: "avc1.64001F",
      width: 640,
      height: 360,
      derived: false,
    },
  );
  assert.deepEqual(
    parseControl(
      '{"op":"state","channel":7,"live":"offline","cause":"network","since_us":5,"recording":"network","recording_since_us":6}',
    ),
    {
      op: "state",
      channel: 7,
      live: "offline",
      cause: "network",
      since_us: 5,
      recording: "network",
      recording_since_us: 6,
    },
  );
  assert.deepEqual(parseControl('{"op":"dropped","channel":7,"frames":12}'), { op: "dropped", channel: 7, frames: 12 });
  assert.deepEqual(parseControl('{"op":"error","code":"purpose_required"}'), {
    op: "error",
    channel: null,
    code: "purpose_required",
  });
  assert.deepEqual(parseControl('{"op":"pong","n":3,"now_us":9}'), { op: "pong", n: 3, now_us: 9 });
});

test("ignores what it does not know instead of failing", () => {
  for (const text of [
    "",
    "nonsense",
    "[]",
    "null",
    "7",
    '{"op":"future","channel":1}',
    '{"op":"info"}',
    '{"op":"state","channel":"1"}',
  ]) {
    assert.equal(parseControl(text), null, text);
  }
});

function box(type: string, ...parts: Uint8Array[]): Uint8Array {
  const size = 8 + parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, size);
  for (let index = 0; index < 4; index += 1) bytes[4 + index] = type.charCodeAt(index);
  let at = 8;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  values.forEach((value, index) => new DataView(bytes.buffer).setUint32(index * 4, value >>> 0));
  return bytes;
}

test("reads a fragment's decode time in 64 bits and its duration from tfhd or trun", () => {
  const tfdt = box("tfdt", words(0x01000000, 37_000, 5));
  const plain = box(
    "moof",
    box("mfhd", words(0, 1)),
    box("traf", box("tfhd", words(0x020008, 1, 24_000)), tfdt, box("trun", words(0x201, 1, 100, 9))),
  );
  assert.deepEqual(fragmentTimes(plain), { decodeTime: 37_000 * 4294967296 + 5, duration: 24_000 });
  const own = box(
    "moof",
    box("traf", box("tfhd", words(0x020000, 1)), tfdt, box("trun", words(0x305, 1, 100, 0x2000000, 14_400, 77))),
  );
  assert.equal(fragmentTimes(own)?.duration, 14_400);
});

test("hostile or foreign bytes give no times and do not loop", () => {
  assert.equal(fragmentTimes(new Uint8Array(0)), null);
  assert.equal(fragmentTimes(words(0, 0, 0, 0)), null);
  assert.equal(fragmentTimes(box("mdat", words(1, 2, 3))), null);
  assert.equal(fragmentTimes(box("moof", box("traf", box("tfdt")))), null);
  const lying = box("moof", box("traf", words(1)));
  new DataView(lying.buffer).setUint32(8, 4_000_000);
  assert.equal(fragmentTimes(lying), null);
});
