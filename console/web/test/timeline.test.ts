import assert from "node:assert/strict";
import test from "node:test";
import {
  clampView,
  follow,
  lastAtOrBefore,
  neighbour,
  panBy,
  ticksOf,
  usOf,
  xOf,
  zoomAt,
  type TimeView,
} from "../src/review/timeline.ts";

const T0 = 1_795_296_000_000_000;
const MINUTE = 60_000_000;
const T1 = T0 + 10 * MINUTE;
const whole: TimeView = { t0: T0, t1: T1, width: 1000 };

test("pixels and time are inverse", () => {
  assert.equal(xOf(whole, T0), 0);
  assert.equal(xOf(whole, T1), 1000);
  for (const x of [0, 1, 333, 999]) assert.ok(Math.abs(xOf(whole, usOf(whole, x)) - x) < 1e-6);
});

test("zooming keeps the moment under the pointer where it is and stays inside the visit", () => {
  const at = T0 + 4 * MINUTE;
  const closer = zoomAt(whole, at, 2, T0, T1);
  assert.ok(Math.abs(xOf(closer, at) - xOf(whole, at)) < 0.01);
  assert.equal(closer.t1 - closer.t0, 5 * MINUTE);
  const out = zoomAt(closer, at, 100_000, T0, T1);
  assert.equal(out.t1 - out.t0, 2_000_000);
  assert.deepEqual(zoomAt(closer, at, 0.001, T0, T1), whole);
});

test("panning stops at the ends", () => {
  const view = zoomAt(whole, T0 + 5 * MINUTE, 2, T0, T1);
  assert.equal(panBy(view, -100_000, T0, T1).t0, T0);
  assert.equal(panBy(view, 100_000, T0, T1).t1, T1);
  assert.equal(panBy(view, 100, T0, T1).t0 - view.t0, 30_000_000);
  assert.deepEqual(clampView({ t0: T0 - MINUTE, t1: T1 + MINUTE, width: 10 }, T0, T1), { t0: T0, t1: T1, width: 10 });
});

test("follows the playhead only when it leaves the view", () => {
  const view = zoomAt(whole, T0, 10, T0, T1);
  assert.equal(follow(view, T0 + 1000, T0, T1), view);
  const moved = follow(view, T0 + 2 * MINUTE, T0, T1);
  assert.ok(moved.t0 < T0 + 2 * MINUTE && moved.t1 > T0 + 2 * MINUTE);
});

test("labels stand at round times and never too close", () => {
  for (const factor of [1, 3, 17, 90, 300]) {
    const view = zoomAt(whole, T0 + 5 * MINUTE, factor, T0, T1);
    const ticks = ticksOf(view, 96);
    assert.ok(ticks.length >= 1);
    for (let index = 1; index < ticks.length; index += 1) {
      assert.ok(xOf(view, ticks[index] as number) - xOf(view, ticks[index - 1] as number) >= 95.9);
      assert.equal((ticks[index] as number) % 1_000_000, 0);
    }
  }
});

test("steps from event to event and past the one it stands on", () => {
  const events = [T0 + 3 * MINUTE, T0 + MINUTE];
  assert.equal(neighbour(events, T0, 1), T0 + MINUTE);
  assert.equal(neighbour(events, T0 + MINUTE, 1), T0 + 3 * MINUTE);
  assert.equal(neighbour(events, T0 + 3 * MINUTE, -1), T0 + MINUTE);
  assert.equal(neighbour(events, T0 + 3 * MINUTE + 400_000, -1), T0 + MINUTE);
  assert.equal(neighbour(events, T0 + 3 * MINUTE, 1), null);
});

test("finds the picture in force", () => {
  const pictures = [10, 20, 30];
  assert.deepEqual(
    [5, 10, 19, 20, 99].map((us) => lastAtOrBefore(pictures, us)),
    [-1, 0, 0, 1, 2],
  );
  assert.equal(lastAtOrBefore([], 5), -1);
});
