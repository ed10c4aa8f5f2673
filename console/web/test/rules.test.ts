import assert from "node:assert/strict";
import test from "node:test";
import { place, qualityFor, readLayout } from "../src/live/layout.ts";
import { backoffMs, isRefusal } from "../src/live/socket.ts";
import { chromiumVersion } from "../src/core/capability.ts";
import { matchPath } from "../src/core/router.ts";
import { addressFault, loginFault, passwordFault, periodFault, periodsOf, rowsOf } from "../src/core/rules.ts";
import { bytesText, offsetText } from "../src/core/text.ts";
import { windowsText } from "../src/core/windows.ts";

test("service periods: several a day, no overlap on the same weekday", () => {
  const morning = { weekdays: [1, 2], from: "09:00", to: "12:00" };
  const afternoon = { weekdays: [1, 2], from: "13:30", to: "17:00" };
  assert.equal(periodFault([morning, afternoon]), "");
  assert.equal(periodFault([morning, { ...morning, weekdays: [2], from: "11:00" }]), "period_overlap");
  assert.equal(periodFault([morning, { ...morning, weekdays: [3], from: "11:00" }]), "");
  assert.equal(periodFault([{ ...morning, to: "08:00" }]), "period_order");
  assert.equal(periodFault([{ ...morning, weekdays: [] }]), "period_days");
  assert.equal(periodFault([{ ...morning, from: "" }]), "period_time");
  assert.equal(periodFault([]), "period_none");
  assert.deepEqual(periodsOf([morning])[1], { weekday: 2, from_minute: 540, to_minute: 720 });
  assert.deepEqual(rowsOf(periodsOf([morning, afternoon])), [morning, afternoon]);
});

test("passwords, logins and addresses", () => {
  assert.equal(passwordFault("Zuiweng-Ting-2026", "Zuiweng-Ting-2026", "wang"), "");
  assert.equal(passwordFault("short", "short", ""), "password_short");
  assert.equal(passwordFault("wangwang-2026", "wangwang-2026", "WANG"), "password_has_login");
  assert.equal(passwordFault("1234567890123", "1234567890123", "li"), "password_weak");
  assert.equal(passwordFault("Zuiweng-Ting-2026", "other", "wang"), "password_differs");
  assert.equal(loginFault("zhang.min"), "");
  assert.equal(loginFault("张敏"), "login_form");
  assert.equal(addressFault("192.168.1.64"), "");
  assert.equal(addressFault(""), "address_empty");
  assert.equal(addressFault("http://192.168.1.64/"), "address_form");
});

test("a stored wall comes back without cameras that are gone", () => {
  const cameras = ["a", "b", "c"];
  const kept = readLayout(JSON.stringify({ size: 9, slots: ["b", "gone", null, "a"] }), cameras);
  assert.deepEqual([kept.size, kept.slots.slice(0, 4)], [9, ["b", null, null, "a"]]);
  assert.equal(kept.slots.length, 9);
  for (const odd of [null, "", "{", "null", "7", '{"size":5,"slots":[]}', '{"size":4}']) {
    assert.deepEqual(readLayout(odd === "null" ? null : odd, cameras).slots.slice(0, 3), cameras, String(odd));
  }
  assert.deepEqual(readLayout('{"size":4,"slots":["gone"]}', cameras).slots.slice(0, 3), cameras);
});

test("dropping a camera on a tile swaps it with the tile it came from", () => {
  assert.deepEqual(place(["a", "b", null], 1, "a"), ["b", "a", null]);
  assert.deepEqual(place(["a", "b", null], 2, "c"), ["a", "b", "c"]);
  assert.deepEqual(place(["a", "b", null], 0, null), [null, "b", null]);
});

test("main stream for one and four tiles and the enlarged one, substream for nine", () => {
  assert.deepEqual(
    [qualityFor(1, false), qualityFor(4, false), qualityFor(9, false), qualityFor(9, true)],
    ["main", "main", "sub", "main"],
  );
});

test("only refusals of the whole socket concern every tile", () => {
  for (const code of ["purpose_required", "purpose_not_allowed", "not_permitted", "not_logged_in"])
    assert.ok(isRefusal(code));
  for (const code of ["message_invalid", "channel_invalid", ""]) assert.ok(!isRefusal(code));
});

test("reconnecting backs off and is bounded", () => {
  assert.deepEqual([1, 2, 3, 9].map(backoffMs), [500, 1000, 2000, 8000]);
});

test("paths, browsers, numbers", () => {
  assert.deepEqual(matchPath("/cases/:id/visits/:visit", "/cases/7/visits/9"), { id: "7", visit: "9" });
  assert.equal(matchPath("/cases/:id", "/cases"), null);
  assert.equal(chromiumVersion("Mozilla/5.0 (X11; UOS) AppleWebKit/537.36 Chrome/93.0.4577.63 Safari/537.36"), 93);
  assert.equal(chromiumVersion("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko"), null);
  assert.equal(bytesText(1_234_000_000_000), "1.2 TB");
  assert.equal(offsetText(-340_000), "−340 ms");
  assert.equal(offsetText(1_250_000), "+1.25 s");
  const windows = [1, 2, 3, 5, 7, 8].map((number) => ({ number, name: `${number}号窗口` }));
  assert.equal(windowsText(windows), "1–3、5、7–8");
  assert.equal(windowsText(windows.slice(0, 2)), "1号窗口、2号窗口");
});
