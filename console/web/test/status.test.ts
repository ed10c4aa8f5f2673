import assert from "node:assert/strict";
import test from "node:test";
import { tileLook, type TileFacts } from "../src/live/status.ts";

const good: TileFacts = {
  camera: true,
  linkUp: true,
  everLinked: true,
  live: "live",
  cause: "",
  sinceUs: 0,
  recording: "recorded",
  recordingSinceUs: 0,
  refusal: "",
  codecPlayable: true,
  framesSeen: true,
  frameAgeMs: 40,
};

test("live and recorded are two facts", () => {
  assert.deepEqual([tileLook(good).live, tileLook(good).recording], ["live", "recorded"]);
  const unrecorded = tileLook({ ...good, recording: "disk_full" });
  assert.deepEqual([unrecorded.live, unrecorded.recording], ["live", "disk_full"]);
});

test("says connecting, not live, until a picture was really shown", () => {
  assert.equal(tileLook({ ...good, framesSeen: false, frameAgeMs: Number.POSITIVE_INFINITY }).live, "connecting");
});

test("a picture that stands still is stale whatever the server says, grey, and not hidden", () => {
  const look = tileLook({ ...good, frameAgeMs: 3500 });
  assert.deepEqual([look.live, look.grey, look.covered], ["stale", true, false]);
});

test("a lost console greys the last picture and claims nothing about recording", () => {
  const look = tileLook({ ...good, linkUp: false });
  assert.deepEqual(
    [look.live, look.cause, look.grey, look.covered, look.recording],
    ["lost", "console_lost", true, false, ""],
  );
  assert.equal(tileLook({ ...good, linkUp: false, everLinked: false }).live, "connecting");
});

test("refusals, offline cameras and codecs cover the picture with their cause", () => {
  const offline = tileLook({ ...good, live: "offline", cause: "unreachable" });
  assert.deepEqual([offline.live, offline.cause, offline.covered], ["offline", "unreachable", true]);
  assert.equal(tileLook({ ...good, refusal: "purpose_required" }).live, "no_permission");
  assert.equal(tileLook({ ...good, refusal: "not_permitted", linkUp: false }).live, "no_permission");
  assert.equal(tileLook({ ...good, codecPlayable: false }).live, "unsupported");
  assert.equal(tileLook({ ...good, camera: false }).live, "empty");
});
