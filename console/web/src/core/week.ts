// A schedule's week: rows that people edit, and where its periods stand on a bar of 24 hours a day.
import { minuteOf, minuteTextOf, type PeriodRow } from "./rules.ts";
import type { Period } from "./types.ts";

const DAY = 1440;
const WEEK = 7 * DAY;
export const WEEKDAYS = [1, 2, 3, 4, 5, 6, 7] as const;

/** Whether a row ends on the next day: at or before the time at which it begins. */
export function overMidnight(row: PeriodRow): boolean {
  const from = minuteOf(row.from);
  const to = minuteOf(row.to);
  return from !== null && to !== null && to <= from;
}

/** The rows as the wire wants them; an end at or before the begin is one on the next day. */
export function weekOf(rows: readonly PeriodRow[]): Period[] {
  return rows
    .flatMap((row) =>
      row.weekdays.map((weekday) => ({
        weekday,
        from_minute: minuteOf(row.from) ?? 0,
        to_minute: (minuteOf(row.to) ?? 0) + (overMidnight(row) ? DAY : 0),
      })),
    )
    .sort((a, b) => a.weekday - b.weekday || a.from_minute - b.from_minute);
}

/** The wire's periods as rows: weekdays that share a period stand together. */
export function weekRows(periods: readonly Period[]): PeriodRow[] {
  const rows = new Map<string, PeriodRow & { order: number }>();
  for (const one of periods) {
    const key = `${one.from_minute}-${one.to_minute}`;
    const row = rows.get(key) ?? {
      weekdays: [],
      from: minuteTextOf(one.from_minute),
      to: minuteTextOf(one.to_minute > DAY ? one.to_minute - DAY : one.to_minute),
      order: one.from_minute,
    };
    row.weekdays = [...new Set([...row.weekdays, one.weekday])].sort((a, b) => a - b);
    rows.set(key, row);
  }
  return [...rows.values()].sort((a, b) => a.order - b.order).map(({ weekdays, from, to }) => ({ weekdays, from, to }));
}

/** Code of what is wrong with a week, or "". Overlaps are refused, over midnight and over the end of the week too. */
export function weekFault(rows: readonly PeriodRow[]): string {
  if (rows.length === 0) return "period_none";
  for (const row of rows) {
    const from = minuteOf(row.from);
    if (from === null || from >= DAY || minuteOf(row.to) === null) return "period_time";
    if (row.weekdays.length === 0) return "period_days";
  }
  const spans = weekOf(rows)
    .map((one) => [(one.weekday - 1) * DAY + one.from_minute, (one.weekday - 1) * DAY + one.to_minute] as const)
    .sort((a, b) => a[0] - b[0]);
  const first = spans[0];
  const overlaps = spans.some(([, end], index) => {
    const next = spans[index + 1]?.[0] ?? (first ? first[0] + WEEK : WEEK);
    return spans.length > 1 && next < end;
  });
  return overlaps ? "period_overlap" : "";
}

export interface DayBar {
  from: number;
  to: number;
  /** Whether it began on the day before. */
  carried: boolean;
}

/** For each weekday (Monday first) the stretches of its 24 hours that are open. */
export function weekBars(periods: readonly Period[]): DayBar[][] {
  const days: DayBar[][] = WEEKDAYS.map(() => []);
  for (const one of periods) {
    days[one.weekday - 1]?.push({ from: one.from_minute, to: Math.min(DAY, one.to_minute), carried: false });
    if (one.to_minute > DAY) days[one.weekday % 7]?.push({ from: 0, to: one.to_minute - DAY, carried: true });
  }
  for (const bars of days) bars.sort((a, b) => a.from - b.from);
  return days;
}

/** Minutes of a week that are open. */
export function openMinutes(periods: readonly Period[]): number {
  return periods.reduce((sum, one) => sum + one.to_minute - one.from_minute, 0);
}

export interface WeekdayGroup {
  weekdays: number[];
  spans: { from: string; to: string; next: boolean }[];
}

/** Weekdays that have the same hours, together and in order: what a line of text says about a week. */
export function weekGroups(periods: readonly Period[]): WeekdayGroup[] {
  const groups = new Map<string, WeekdayGroup>();
  for (const weekday of WEEKDAYS) {
    const own = periods.filter((one) => one.weekday === weekday).sort((a, b) => a.from_minute - b.from_minute);
    if (own.length === 0) continue;
    const key = own.map((one) => `${one.from_minute}-${one.to_minute}`).join(" ");
    const group = groups.get(key) ?? {
      weekdays: [],
      spans: own.map((one) => ({
        from: minuteTextOf(one.from_minute),
        to: minuteTextOf(one.to_minute > DAY ? one.to_minute - DAY : one.to_minute),
        next: one.to_minute > DAY,
      })),
    };
    group.weekdays.push(weekday);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** `[1, 2, 3, 5]` as `[[1, 3], [5, 5]]`. */
export function runs(days: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  for (const day of days) {
    const last = found[found.length - 1];
    if (last && last[1] === day - 1) last[1] = day;
    else found.push([day, day]);
  }
  return found;
}
