import assert from "node:assert/strict";
import test from "node:test";
import { clockWords } from "../src/core/camera-clock.ts";

const S = 1_000_000;
const words = (offset: number, error = 0): string => {
  const { kind, amount, unit, off } = clockWords(offset, error);
  return `${kind} ${amount} ${unit}${off ? " !" : ""}`;
};

test("an offset is told in the unit that says it well", () => {
  assert.equal(words(75 * S), "fast 75 s !");
  assert.equal(words(-2.4 * S), "slow 2.4 s !");
  assert.equal(words(-1.2 * S), "slow 1.2 s");
  assert.equal(words(-600 * S), "slow 10 min !");
  assert.equal(words(8 * 3600 * S), "fast 8 h !");
  assert.equal(words(-56 * 365 * 86_400 * S), "slow 20440 d !");
});

test("what lies within the error is right, and no warning is given for what may be right", () => {
  assert.equal(words(0.3 * S), "right 0.3 s");
  assert.equal(words(3 * S, 4 * S), "right 3.0 s");
  assert.equal(words(3 * S, 1.5 * S), "fast 3.0 s");
  assert.equal(words(4 * S, 1.5 * S), "fast 4.0 s !");
});
