import assert from "node:assert/strict";
import test from "node:test";
import { coverageClass, gapsOf, layoutCoverage, recordedShare, spanAt } from "../src/core/coverage.ts";

const HOUR = 3_600_000_000;
const T0 = 1_795_276_800_000_000;
const span = (from: number, to: number, state: string) => ({
  t0_us: T0 + from * HOUR,
  t1_us: T0 + to * HOUR,
  state,
  detail: "",
});
const day = [span(0, 8, "recorded"), span(8, 8.0002, "network"), span(8.0002, 12, "recorded"), span(12, 24, "future")];

test("fills the bar from edge to edge", () => {
  const bars = layoutCoverage([span(0, 12, "recorded"), span(12, 24, "plan")], T0, T0 + 24 * HOUR, 1000);
  assert.deepEqual(
    bars.map((bar) => [bar.x, bar.width, bar.kind]),
    [
      [0, 500, "ok"],
      [500, 500, "quiet"],
    ],
  );
});

test("a gap of a second in a day is still wide enough to see, and lies on top", () => {
  const bars = layoutCoverage(day, T0, T0 + 24 * HOUR, 1000, 1.5);
  const last = bars[bars.length - 1];
  assert.equal(last?.span.state, "network");
  assert.equal(last?.width, 1.5);
});

test("cuts at the ends and stays inside even for the last second", () => {
  const bars = layoutCoverage(
    [span(-5, 1, "recorded"), span(23.9999, 30, "crash"), span(40, 50, "plan")],
    T0,
    T0 + 24 * HOUR,
    1000,
    2,
  );
  assert.equal(bars.length, 2);
  for (const bar of bars) assert.ok(bar.x >= 0 && bar.x + bar.width <= 1000.001);
});

test("the share counts elapsed planned time only and is never 1 with a gap", () => {
  const share = recordedShare(day, T0 + 12 * HOUR);
  assert.ok(share !== null && share < 1 && share > 0.9999);
  assert.equal(recordedShare([span(0, 24, "future")], T0), null);
  assert.equal(
    recordedShare([span(0, 12, "plan"), span(12, 13, "recorded"), span(13, 14, "disk_full")], T0 + 14 * HOUR),
    0.5,
  );
});

test("an unknown reason is a fault until shown otherwise", () => {
  assert.equal(coverageClass("some_new_reason"), "bad");
});

test("lists what needs an explanation and finds the state at a moment", () => {
  assert.deepEqual(
    gapsOf(day).map((one) => one.state),
    ["network"],
  );
  assert.equal(spanAt(day, T0 + 8 * HOUR)?.state, "network");
  assert.equal(spanAt(day, T0 + 30 * HOUR), null);
});
