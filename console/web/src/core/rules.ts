// Checks that the browser makes before it asks the server; the server checks everything again.

export const LEAST_PASSWORD = 10;

/** Code of what is wrong with a new password, or "". */
export function passwordFault(password: string, again: string, login: string): string {
  if (password.length < LEAST_PASSWORD) return "password_short";
  if (login && password.toLowerCase().includes(login.toLowerCase())) return "password_has_login";
  if (/^(.)\1*$/.test(password) || /^\d+$/.test(password)) return "password_weak";
  if (password !== again) return "password_differs";
  return "";
}

export function loginFault(login: string): string {
  if (!login) return "login_empty";
  return /^[a-z0-9][a-z0-9._-]{1,63}$/i.test(login) ? "" : "login_form";
}

/** `09:30` as minutes after midnight; `24:00` is 1440; null when it is no time. */
export function minuteOf(text: string): number | null {
  const match = /^(\d{1,2})[:：](\d{2})$/.exec(text.trim());
  if (!match) return null;
  const minutes = Number(match[1]) * 60 + Number(match[2]);
  return Number(match[2]) < 60 && minutes <= 1440 ? minutes : null;
}

export function minuteTextOf(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

export interface PeriodRow {
  weekdays: number[];
  from: string;
  to: string;
}

/** Code of what is wrong with these rows, or "". Overlaps on one weekday are refused. */
export function periodFault(rows: readonly PeriodRow[]): string {
  const taken = new Map<number, [number, number][]>();
  for (const row of rows) {
    const from = minuteOf(row.from);
    const to = minuteOf(row.to);
    if (from === null || to === null) return "period_time";
    if (to <= from) return "period_order";
    if (row.weekdays.length === 0) return "period_days";
    for (const day of row.weekdays) {
      const others = taken.get(day) ?? [];
      if (others.some(([start, end]) => from < end && start < to)) return "period_overlap";
      taken.set(day, [...others, [from, to]]);
    }
  }
  return rows.length === 0 ? "period_none" : "";
}

/** Rows as the wire wants them: one entry per weekday. */
export function periodsOf(rows: readonly PeriodRow[]): { weekday: number; from_minute: number; to_minute: number }[] {
  return rows
    .flatMap((row) =>
      row.weekdays.map((weekday) => ({
        weekday,
        from_minute: minuteOf(row.from) ?? 0,
        to_minute: minuteOf(row.to) ?? 0,
      })),
    )
    .sort((a, b) => a.weekday - b.weekday || a.from_minute - b.from_minute);
}

/** The wire's entries folded back into rows: weekdays that share a period stand together. */
export function rowsOf(periods: readonly { weekday: number; from_minute: number; to_minute: number }[]): PeriodRow[] {
  const rows = new Map<string, PeriodRow>();
  for (const period of periods) {
    const key = `${period.from_minute}-${period.to_minute}`;
    const row = rows.get(key) ?? {
      weekdays: [],
      from: minuteTextOf(period.from_minute),
      to: minuteTextOf(period.to_minute),
    };
    row.weekdays = [...new Set([...row.weekdays, period.weekday])].sort((a, b) => a - b);
    rows.set(key, row);
  }
  return [...rows.values()].sort((a, b) => a.from.localeCompare(b.from));
}

/** An IPv4 address or a host name. */
export function addressFault(address: string): string {
  if (!address.trim()) return "address_empty";
  return /^[a-zA-Z0-9]([a-zA-Z0-9.:-]*[a-zA-Z0-9])?$/.test(address.trim()) ? "" : "address_form";
}
