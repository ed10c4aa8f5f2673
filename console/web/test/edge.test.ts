import assert from "node:assert/strict";
import test from "node:test";
import { LiveEdge } from "../src/live/edge.ts";

test("starts the target behind the newest frame, but never before the first", () => {
  const edge = new LiveEdge({ target: 0.25 });
  assert.equal(edge.entry(100, 110), 109.75);
  assert.equal(edge.entry(109.9, 110), 109.9);
});

test("runs faster the further it is behind and seeks beyond two seconds", () => {
  const edge = new LiveEdge({ target: 0.25 });
  assert.deepEqual(edge.steer(110 - 0.25, 110, 1), { rate: 1, seekTo: null });
  assert.deepEqual(edge.steer(110 - 0.35, 110, 1), { rate: 1.1, seekTo: null });
  assert.deepEqual(edge.steer(110 - 0.9, 110, 1), { rate: 1.5, seekTo: null });
  assert.deepEqual(edge.steer(110 - 3, 110, 1), { rate: 1, seekTo: 109.75 });
  assert.deepEqual(edge.steer(110 - 0.1, 110, 1), { rate: 0.95, seekTo: null });
});

test("a position after the newest frame (a stream that began anew) seeks back", () => {
  assert.equal(new LiveEdge({ target: 0.25 }).steer(200, 110, 1).seekTo, 109.75);
});

test("starvation raises the target up to its bound, calm brings it down to its floor", () => {
  const edge = new LiveEdge({ target: 0.25, least: 0.15, most: 0.6 });
  for (let turn = 0; turn < 10; turn += 1) edge.starved(turn * 2000);
  assert.equal(edge.target, 0.6);
  for (let second = 30; second < 600; second += 1) edge.steer(110, 110, second * 1000);
  assert.equal(edge.target, 0.15);
});

test("one bad moment counts once", () => {
  const edge = new LiveEdge({ target: 0.2 });
  edge.starved(5000);
  const raised = edge.target;
  edge.starved(5400);
  assert.equal(edge.target, raised);
  edge.starved(6100);
  assert.ok(edge.target > raised);
});

test("keeps step with a live source: converges from one second behind and stays near its target", () => {
  const edge = new LiveEdge({ target: 0.25 });
  let position = 1000;
  let newest = 1001;
  for (let turn = 0; turn < 200; turn += 1) {
    const step = edge.steer(position, newest, turn * 100);
    position = step.seekTo ?? position + 0.1 * step.rate;
    newest += 0.1;
  }
  assert.ok(Math.abs(newest - position - edge.target) < 0.1, `${newest - position}`);
});
