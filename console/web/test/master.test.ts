import assert from "node:assert/strict";
import test from "node:test";
import { MasterClock } from "../src/review/master.ts";
import { FrameInterval, running, standing } from "../src/review/sync.ts";

const T0 = 1_795_296_000_000_000;

function clock(): { master: MasterClock; pass: (ms: number) => void } {
  let now = 5000;
  const master = new MasterClock(T0, T0 + 60_000_000, () => now);
  return {
    master,
    pass: (ms) => {
      now += ms;
    },
  };
}

test("runs at its speed and stands when paused", () => {
  const { master, pass } = clock();
  pass(1000);
  assert.equal(master.nowUs, T0);
  master.play();
  pass(1000);
  assert.equal(master.nowUs, T0 + 1_000_000);
  master.setRate(8);
  pass(1000);
  assert.equal(master.nowUs, T0 + 9_000_000);
  master.pause();
  pass(1000);
  assert.equal(master.nowUs, T0 + 9_000_000);
});

test("waits while a lane loads and loses no time by it", () => {
  const { master, pass } = clock();
  master.play();
  pass(500);
  master.hold(true);
  assert.equal(master.running, false);
  pass(3000);
  master.hold(false);
  pass(500);
  assert.equal(master.nowUs, T0 + 1_000_000);
});

test("stops at the end and begins anew from there", () => {
  const { master, pass } = clock();
  master.play();
  pass(100_000);
  master.tick();
  assert.deepEqual([master.playing, master.nowUs], [false, T0 + 60_000_000]);
  master.play();
  assert.equal(master.nowUs, T0);
});

test("never leaves the visit, which may grow", () => {
  const { master } = clock();
  master.seek(T0 - 5);
  assert.equal(master.nowUs, T0);
  master.seek(T0 + 90_000_000);
  assert.equal(master.nowUs, T0 + 60_000_000);
  master.extend(T0 + 100_000_000);
  master.seek(T0 + 90_000_000);
  assert.equal(master.nowUs, T0 + 90_000_000);
});

test("speeds go up and down by steps and stop at the ends", () => {
  const { master } = clock();
  for (let turn = 0; turn < 9; turn += 1) master.faster();
  assert.equal(master.rate, 8);
  for (let turn = 0; turn < 9; turn += 1) master.slower();
  assert.equal(master.rate, 0.25);
});

test("a lane corrects small errors by its rate and large ones by a seek", () => {
  assert.equal(running(10, 10.5, 1).seekTo, 10.5);
  const late = running(10, 10.1, 1);
  assert.ok(late.seekTo === null && late.rate > 1);
  assert.ok(running(10.1, 10, 1).rate < 1);
  assert.deepEqual(standing(10, 10.0001).seekTo, null);
  assert.equal(standing(10, 10.04).seekTo, 10.04);
});

test("a lane that starts a quarter second off is within a frame after two seconds", () => {
  let position = 9.75;
  for (let ms = 0; ms < 2000; ms += 16) {
    const wanted = 10 + ms / 1000;
    position += 0.016 * running(position, wanted, 1).rate;
  }
  assert.ok(Math.abs(position - 12) < 0.07, `${position}`);
});

test("learns the frame interval from presented frames and ignores seeks", () => {
  const interval = new FrameInterval();
  assert.equal(interval.seconds, 0.04);
  for (const at of [0, 0.0667, 0.1333, 0.2, 30, 30.0667, 2, 2.0667]) interval.take(at);
  assert.ok(Math.abs(interval.seconds - 0.0667) < 0.001);
});
