import assert from "node:assert/strict";
import test from "node:test";
import { hopOver, trimRange } from "../src/live/gaps.ts";

const ranges = [
  { start: 10, end: 12 },
  { start: 12.3, end: 15 },
];

test("stays while media follow", () => {
  assert.equal(hopOver(ranges, 11), null);
  assert.equal(hopOver(ranges, 13), null);
});

test("hops from the end of a range into the next", () => {
  assert.equal(hopOver(ranges, 11.98), 12.301);
  assert.equal(hopOver(ranges, 12.1), 12.301);
});

test("waits at the live edge", () => {
  assert.equal(hopOver(ranges, 14.99), null);
  assert.equal(hopOver([], 5), null);
});

test("goes to the first range from before it", () => {
  assert.equal(hopOver(ranges, 0), 10.001);
});

test("trims only when there is enough behind, and never up to the position", () => {
  assert.equal(trimRange(ranges, 14, 12, 6), null);
  assert.deepEqual(trimRange([{ start: 0, end: 30 }], 20, 12, 6), { start: 0, end: 14 });
  assert.equal(trimRange([], 20, 12, 6), null);
});
