import assert from "node:assert/strict";
import test from "node:test";
import type { TimelineSegment, TimelineStream } from "../src/core/types.ts";
import { chooseStream } from "../src/review/mapping.ts";
import { follow } from "../src/review/sound.ts";
import { pictureCodec, soundCodec, TrackFilter } from "../src/review/tracks.ts";

function text(word: string): number[] {
  return [...word].map((letter) => letter.charCodeAt(0));
}

function number(value: number): number[] {
  return [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function box(kind: string, ...parts: number[][]): number[] {
  const body = parts.flat();
  return [...number(body.length + 8), ...text(kind), ...body];
}

function track(id: number, handler: string): number[] {
  const header = box("tkhd", number(3), number(0), number(0), number(id), new Array<number>(68).fill(0));
  const kind = box("hdlr", number(0), number(0), text(handler), new Array<number>(13).fill(0));
  return box("trak", header, box("mdia", box("mdhd", number(0)), kind));
}

function fragment(...ids: number[]): number[] {
  const tracks = ids.map((id) => box("traf", box("tfhd", number(0x020000), number(id)), box("trun", number(1))));
  return box("moof", box("mfhd", number(0), number(1)), ...tracks);
}

const extend = (id: number): number[] => box("trex", number(0), number(id), number(1));
const head = [
  ...box("ftyp", text("iso5")),
  ...box("uuid", new Array<number>(90).fill(0x6d)),
  ...box("moov", box("mvhd", number(0)), track(1, "vide"), track(2, "soun"), box("mvex", extend(1), extend(2))),
];
const media = box("mdat", new Array<number>(500).fill(0x74));
const file = Uint8Array.from([
  ...head,
  ...fragment(1),
  ...media,
  ...fragment(1, 2),
  ...media,
  ...fragment(1, 2, 2),
  ...media,
  ...box("mfra", number(0)),
]);

/** The kinds of all boxes of interest, in order. */
function kinds(bytes: Uint8Array, start = 0, end = bytes.length): string[] {
  const found: string[] = [];
  for (let at = start; at + 8 <= end; ) {
    const size = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
    const kind = String.fromCharCode(...bytes.slice(at + 4, at + 8));
    found.push(kind);
    if (["moov", "mvex", "moof"].includes(kind)) found.push(...kinds(bytes, at + 8, at + size).map((one) => `.${one}`));
    at += size;
  }
  return found;
}

function through(wanted: "vide" | "soun", step: number): Uint8Array {
  const filter = new TrackFilter(wanted);
  const parts: number[] = [];
  for (let at = 0; at < file.length; at += step) parts.push(...filter.take(file.slice(at, at + step)));
  return Uint8Array.from(parts);
}

test("the picture's element gets pictures alone", () => {
  const shown = through("vide", file.length);
  assert.equal(shown.length, file.length);
  const moov = ["moov", ".mvhd", ".trak", ".free", ".mvex", "..trex", "..free"];
  const fragments = ["moof", ".mfhd", ".traf", "mdat", "moof", ".mfhd", ".traf", ".free", "mdat"];
  const last = ["moof", ".mfhd", ".traf", ".free", ".free", "mdat", "mfra"];
  assert.deepEqual(kinds(shown), ["ftyp", "uuid", ...moov, ...fragments, ...last]);
});

test("the sound's element gets sound alone, and nothing of a fragment without any", () => {
  const shown = through("soun", file.length);
  const moov = ["moov", ".mvhd", ".free", ".trak", ".mvex", "..free", "..trex"];
  const fragments = ["free", "free", "moof", ".mfhd", ".free", ".traf", "mdat"];
  const last = ["moof", ".mfhd", ".free", ".traf", ".traf", "mdat", "mfra"];
  assert.deepEqual(kinds(shown), ["ftyp", "uuid", ...moov, ...fragments, ...last]);
});

test("wherever the bytes are cut, the same comes out", () => {
  for (const wanted of ["vide", "soun"] as const) {
    const whole = through(wanted, file.length);
    for (const step of [1, 2, 3, 7, 8, 9, 64, 333]) assert.deepEqual(through(wanted, step), whole);
  }
});

test("a file without sound goes through as it is", () => {
  const silent = Uint8Array.from([...box("moov", track(1, "vide"), box("mvex", extend(1))), ...fragment(1), ...media]);
  assert.deepEqual(new TrackFilter("vide").take(silent.slice()), silent);
});

test("media bytes that only look like heads pass untouched", () => {
  const filter = new TrackFilter("soun");
  filter.take(Uint8Array.from(head));
  const decoy = Uint8Array.from([...fragment(2), ...box("mdat", fragment(1, 2), head)]);
  assert.deepEqual(filter.take(decoy.slice()), decoy);
});

test("a codec names pictures first, then sound", () => {
  assert.equal(pictureCodec("avc1.64001F,flac"), "avc1.64001F");
  assert.equal(soundCodec("avc1.64001F,mp4a.40.2"), "mp4a.40.2");
  assert.equal(pictureCodec("avc1.64001F"), "avc1.64001F");
  assert.equal(soundCodec("avc1.64001F"), "");
});

test("sound that a browser cannot play makes no picture unplayable", () => {
  const segment = { codec: "avc1.64001F,flac" } as TimelineSegment;
  const main = { role: "main", segments: [segment] } as TimelineStream;
  const seen: string[] = [];
  const choice = chooseStream([main], (codec) => seen.push(codec) > 0);
  assert.equal(choice?.how, "native");
  assert.deepEqual(seen, ["avc1.64001F"]);
});

test("sound follows the picture, and is silent at speeds that nobody understands", () => {
  assert.deepEqual(follow(10, 10, 1), { silent: false, seekTo: null, rate: 1 });
  assert.deepEqual(follow(10, 10.5, 1), { silent: false, seekTo: 10.5, rate: 1 });
  assert.deepEqual(follow(10, 10, 4), { silent: true, seekTo: null, rate: 4 });
  assert.deepEqual(follow(10, 12, 0.25), { silent: true, seekTo: null, rate: 0.25 });
  const late = follow(10, 10.1, 2);
  assert.equal(late.seekTo, null);
  assert.ok(late.rate > 2.05 && late.rate <= 2.1);
  assert.ok(follow(10, 9.9, 1).rate < 1);
});
