// A calendar year: months as grids, and special days gathered into stretches.
import { shiftDay } from "./time.ts";
import type { CalendarDay } from "./types.ts";

/** ISO weekday (Monday is 1) of `YYYY-MM-DD`. */
export function weekdayOf(day: string): number {
  return new Date(`${day}T00:00:00Z`).getUTCDay() || 7;
}

/** The weeks of a month, Monday first, as days `YYYY-MM-DD`; null where another month's days would be. */
export function monthWeeks(year: number, month: number): (string | null)[][] {
  const head = `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}`;
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const cells: (string | null)[] = Array.from({ length: weekdayOf(`${head}-01`) - 1 }, () => null);
  for (let day = 1; day <= days; day += 1) cells.push(`${head}-${String(day).padStart(2, "0")}`);
  while (cells.length % 7 > 0) cells.push(null);
  return Array.from({ length: cells.length / 7 }, (_, week) => cells.slice(week * 7, week * 7 + 7));
}

export interface DayStretch {
  first: string;
  last: string;
  kind: string;
  name: string;
  as_weekday: number;
  days: number;
}

/** Days one after the other that say the same, as one stretch. */
export function stretchesOf(days: readonly CalendarDay[]): DayStretch[] {
  const found: DayStretch[] = [];
  for (const one of [...days].sort((a, b) => a.day.localeCompare(b.day))) {
    const last = found[found.length - 1];
    const same = last && last.kind === one.kind && last.name === one.name && last.as_weekday === one.as_weekday;
    if (same && shiftDay(last.last, 1) === one.day) {
      last.last = one.day;
      last.days += 1;
    } else found.push({ ...one, first: one.day, last: one.day, days: 1 });
  }
  return found.map(({ first, last, kind, name, as_weekday, days: count }) => ({
    first,
    last,
    kind,
    name,
    as_weekday,
    days: count,
  }));
}

/** As which weekday a 调休 day is worked unless told: Saturdays as Friday, Sundays as Monday. */
export function usualWeekday(day: string): number {
  const weekday = weekdayOf(day);
  return weekday === 6 ? 5 : weekday === 7 ? 1 : weekday;
}

/** The year's days with one of them changed; `null` makes it an ordinary day. */
export function withDay(days: readonly CalendarDay[], day: string, wanted: CalendarDay | null): CalendarDay[] {
  const others = days.filter((one) => one.day !== day);
  return (wanted ? [...others, wanted] : others).sort((a, b) => a.day.localeCompare(b.day));
}
