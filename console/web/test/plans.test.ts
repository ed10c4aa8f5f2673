import assert from "node:assert/strict";
import test from "node:test";
import { changed, changesOf, concerned, modesAfter, outcome, shared, stretch } from "../src/core/plan.ts";
import type { CalendarDay, Plan } from "../src/core/types.ts";
import {
  openMinutes,
  overMidnight,
  runs,
  weekBars,
  weekFault,
  weekGroups,
  weekOf,
  weekRows,
} from "../src/core/week.ts";
import { monthWeeks, stretchesOf, usualWeekday, weekdayOf, withDay } from "../src/core/year.ts";

const ALWAYS: Plan = {
  mode: "always",
  schedule_id: null,
  streams: "auto",
  pre_roll_s: 10,
  post_roll_s: 30,
  on_visit: true,
  on_motion: true,
  extend_visits: true,
  extend_after_s: 600,
  extend_cap_s: 7200,
  keep_days: 0,
  retention_class_id: null,
  audio: false,
  audio_basis: "",
  keeps_days: 30,
  audio_by: null,
  audio_us: null,
  version: 0,
  updated_us: null,
  updated_by: null,
};
const night = { weekdays: [5, 7], from: "22:00", to: "06:00" };
const morning = { weekdays: [1, 2], from: "09:00", to: "12:00" };

test("a change holds only what differs from what all cameras have", () => {
  const plans = [ALWAYS, { ...ALWAYS, mode: "event", streams: "main" }];
  assert.equal(shared(plans, "mode"), undefined);
  assert.equal(shared(plans, "keep_days"), 0);
  let change = changed(plans, {}, "mode", "periods");
  change = changed(plans, change, "keep_days", 90);
  assert.deepEqual(change, { mode: "periods", keep_days: 90 });
  assert.equal(outcome(plans, change, "mode"), "periods");
  assert.equal(outcome(plans, change, "streams"), undefined);
  change = changed(plans, change, "keep_days", 0); // what they have already
  change = changed(plans, change, "mode", undefined); // left as they are
  assert.deepEqual(change, {});
  assert.equal(concerned(plans, change), 0);
});

test("what will change is told field by field with how many cameras it concerns", () => {
  const plans = [ALWAYS, ALWAYS, { ...ALWAYS, mode: "periods", schedule_id: "s1" }];
  const change = { mode: "periods", schedule_id: "s2", audio: false };
  assert.deepEqual(changesOf(plans, change), [
    { field: "mode", from: ["always"], to: "periods", cameras: 2 },
    { field: "schedule_id", from: [null, "s1"], to: "s2", cameras: 3 },
  ]);
  assert.equal(concerned(plans, { mode: "periods" }), 2);
  assert.deepEqual(modesAfter(plans, {}), ["always", "periods"]);
  assert.deepEqual(modesAfter(plans, { mode: "off" }), ["off"]);
});

test("taking a schedule away is a change, not an absence of one", () => {
  const plans = [{ ...ALWAYS, schedule_id: "s1" }];
  const change = changed(plans, {}, "schedule_id", null);
  assert.deepEqual(change, { schedule_id: null });
  assert.equal(outcome(plans, change, "schedule_id"), null);
  assert.deepEqual(changesOf(plans, change), [{ field: "schedule_id", from: ["s1"], to: null, cameras: 1 }]);
});

test("a click with shift takes the stretch, in either direction", () => {
  const ids = ["a", "b", "c", "d"];
  assert.deepEqual(stretch(ids, "b", "d"), ["b", "c", "d"]);
  assert.deepEqual(stretch(ids, "d", "b"), ["b", "c", "d"]);
  assert.deepEqual(stretch(ids, "gone", "c"), ["c"]);
});

test("a period over midnight ends on the next day and comes back as it was written", () => {
  assert.ok(overMidnight(night));
  assert.ok(!overMidnight({ ...night, from: "00:00", to: "24:00" }));
  assert.deepEqual(weekOf([night]), [
    { weekday: 5, from_minute: 1320, to_minute: 1800 },
    { weekday: 7, from_minute: 1320, to_minute: 1800 },
  ]);
  assert.deepEqual(weekRows(weekOf([night, morning])), [morning, night]);
  assert.equal(openMinutes(weekOf([night])), 960);
  const bars = weekBars(weekOf([night]));
  assert.deepEqual(bars[5], [{ from: 0, to: 360, carried: true }]);
  assert.deepEqual(bars[0], [{ from: 0, to: 360, carried: true }], "Sunday's night reaches into Monday");
  assert.deepEqual(bars[6], [{ from: 1320, to: 1440, carried: false }]);
});

test("weeks that cannot be: no day, no time, overlaps over midnight and over the end of the week", () => {
  assert.equal(weekFault([]), "period_none");
  assert.equal(weekFault([{ ...morning, weekdays: [] }]), "period_days");
  assert.equal(weekFault([{ ...morning, to: "" }]), "period_time");
  assert.equal(weekFault([{ ...morning, from: "24:00" }]), "period_time");
  assert.equal(weekFault([morning, night]), "");
  assert.equal(weekFault([night, { weekdays: [6], from: "05:00", to: "08:00" }]), "period_overlap");
  assert.equal(weekFault([night, { weekdays: [1], from: "05:59", to: "08:00" }]), "period_overlap");
  assert.equal(weekFault([night, { weekdays: [1], from: "06:00", to: "08:00" }]), "");
  assert.equal(weekFault([{ weekdays: [1, 2, 3, 4, 5, 6, 7], from: "00:00", to: "24:00" }]), "");
});

test("days with the same hours are told together", () => {
  const week = weekOf([
    { weekdays: [1, 2, 3, 4, 5], from: "09:00", to: "12:00" },
    { weekdays: [1, 2, 3, 4, 5], from: "13:30", to: "17:00" },
    { weekdays: [6], from: "22:00", to: "06:00" },
  ]);
  assert.deepEqual(weekGroups(week), [
    {
      weekdays: [1, 2, 3, 4, 5],
      spans: [
        { from: "09:00", to: "12:00", next: false },
        { from: "13:30", to: "17:00", next: false },
      ],
    },
    { weekdays: [6], spans: [{ from: "22:00", to: "06:00", next: true }] },
  ]);
  assert.deepEqual(runs([1, 2, 3, 5]), [
    [1, 3],
    [5, 5],
  ]);
});

test("months begin on Monday and hold each day once, leap years too", () => {
  assert.equal(weekdayOf("2026-10-04"), 7);
  const february = monthWeeks(2028, 2);
  assert.deepEqual(february[0]?.slice(0, 2), [null, "2028-02-01"]);
  assert.equal(february.flat().filter(Boolean).length, 29);
  assert.equal(monthWeeks(2026, 2).length, 5);
  assert.ok(february.every((week) => week.length === 7));
});

test("days in a row are one stretch, over the end of a month too; another kind begins a new one", () => {
  const holiday = (day: string): CalendarDay => ({ day, kind: "holiday", as_weekday: 0, name: "国庆节" });
  const days = [
    holiday("2026-10-01"),
    holiday("2026-09-30"),
    { day: "2026-10-02", kind: "workday", as_weekday: 5, name: "" },
    holiday("2026-10-05"),
  ];
  assert.deepEqual(
    stretchesOf(days).map((one) => [one.first, one.last, one.kind, one.days]),
    [
      ["2026-09-30", "2026-10-01", "holiday", 2],
      ["2026-10-02", "2026-10-02", "workday", 1],
      ["2026-10-05", "2026-10-05", "holiday", 1],
    ],
  );
  assert.equal(withDay(days, "2026-10-05", null).length, 3);
  assert.equal(withDay(days, "2026-10-01", holiday("2026-10-01")).length, 4);
  assert.deepEqual(["2026-10-10", "2026-09-20", "2026-10-12"].map(usualWeekday), [5, 1, 1]);
});
