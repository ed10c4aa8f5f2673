import assert from "node:assert/strict";
import test from "node:test";

// The viewer's PC is in another zone: nothing on the screen may show it.
process.env["TZ"] = "America/Los_Angeles";
const time = await import("../src/core/time.ts");
const { ServerClock } = await import("../src/core/clock.ts");

const AT = Date.UTC(2026, 10, 21, 1, 30, 5, 250) * 1000;

test("shows the hall's zone, whatever the viewer's is", () => {
  assert.notEqual(new Date(AT / 1000).getHours(), 9);
  assert.equal(time.momentText(AT, "Asia/Shanghai"), "2026-11-21 09:30:05");
  assert.equal(time.preciseText(AT, "Asia/Shanghai"), "09:30:05.250");
  assert.equal(time.dayOf(AT, "Asia/Shanghai"), "2026-11-21");
  assert.equal(time.dayOf(AT, "America/New_York"), "2026-11-20");
  assert.equal(time.clockText(AT, "Asia/Kathmandu"), "07:15:05");
});

test("midnight is 00, not 24", () => {
  const midnight = Date.UTC(2026, 10, 20, 16, 0, 0) * 1000;
  assert.equal(time.momentText(midnight, "Asia/Shanghai"), "2026-11-21 00:00:00");
});

test("local text and instants are inverse in the hall's zone", () => {
  for (const zone of ["Asia/Shanghai", "Asia/Urumqi", "America/New_York", "UTC"]) {
    const us = time.fromLocal("2026-07-01T08:15", zone);
    assert.equal(time.toLocal(us, zone), "2026-07-01T08:15");
  }
  assert.equal(time.fromLocal("2026-11-21T09:30:05", "Asia/Shanghai"), AT - 250_000);
  assert.ok(Number.isNaN(time.fromLocal("yesterday", "UTC")));
});

test("lengths and days", () => {
  assert.equal(time.spanText(7_000_000), "0:07");
  assert.equal(time.spanText(40_000), "40 ms");
  assert.equal(time.spanText(3_723_000_000), "1:02:03");
  assert.equal(time.shiftDay("2026-03-01", -1), "2026-02-28");
  assert.equal(time.knownZone("Asia/Shanghai"), true);
  assert.equal(time.knownZone("Asia/Chuzhou"), false);
});

test("the clock follows the server though the PC is ten minutes off, and prefers the shortest round trip", () => {
  let ticks = 1000;
  const clock = new ServerClock(() => ticks);
  assert.equal(clock.known, false);
  clock.take({ sentMs: 900, receivedMs: 1000, serverUs: AT });
  assert.equal(clock.nowUs(), AT + 50_000);
  clock.take({ sentMs: 1000, receivedMs: 1400, serverUs: AT + 900_000 });
  assert.equal(clock.nowUs(), AT + 50_000);
  clock.take({ sentMs: 1000, receivedMs: 1004, serverUs: AT + 52_000 });
  ticks = 1002;
  assert.equal(clock.nowUs(), AT + 52_000);
  ticks = 61_002;
  assert.equal(clock.nowUs(), AT + 60_052_000);
});

test("an old sample gives way to a new one even if its round trip was shorter", () => {
  const clock = new ServerClock(() => 1_000_000);
  clock.take({ sentMs: 0, receivedMs: 2, serverUs: AT });
  clock.take({ sentMs: 999_900, receivedMs: 1_000_000, serverUs: AT + 1_000_500_000 });
  assert.equal(clock.nowUs(), AT + 1_000_550_000);
});
