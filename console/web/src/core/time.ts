// Times are integer microseconds UTC on the wire. They are shown in the hall's zone, never in the viewer's.

export interface ZoneParts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  millisecond: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string): Intl.DateTimeFormat {
  let found = formatters.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formatters.set(zone, found);
  }
  return found;
}

/** The wall-clock reading in `zone` at `us`. */
export function zoneParts(us: number, zone: string): ZoneParts {
  const milliseconds = Math.floor(us / 1000);
  const fields: Record<string, number> = {};
  for (const part of formatter(zone).formatToParts(milliseconds)) {
    if (part.type !== "literal") fields[part.type] = Number(part.value);
  }
  return {
    year: fields["year"] ?? 0,
    month: fields["month"] ?? 0,
    day: fields["day"] ?? 0,
    hour: (fields["hour"] ?? 0) % 24,
    minute: fields["minute"] ?? 0,
    second: fields["second"] ?? 0,
    millisecond: ((milliseconds % 1000) + 1000) % 1000,
  };
}

const two = (value: number): string => String(value).padStart(2, "0");
const three = (value: number): string => String(value).padStart(3, "0");

/** `2026-11-21`, the hall's day at `us`. */
export function dayOf(us: number, zone: string): string {
  const p = zoneParts(us, zone);
  return `${String(p.year).padStart(4, "0")}-${two(p.month)}-${two(p.day)}`;
}

/** `09:30:05`. */
export function clockText(us: number, zone: string): string {
  const p = zoneParts(us, zone);
  return `${two(p.hour)}:${two(p.minute)}:${two(p.second)}`;
}

/** `09:30`. */
export function minuteText(us: number, zone: string): string {
  const p = zoneParts(us, zone);
  return `${two(p.hour)}:${two(p.minute)}`;
}

/** `09:30:05.250`. */
export function preciseText(us: number, zone: string): string {
  const p = zoneParts(us, zone);
  return `${two(p.hour)}:${two(p.minute)}:${two(p.second)}.${three(p.millisecond)}`;
}

/** `2026-11-21 09:30:05`. */
export function momentText(us: number, zone: string): string {
  return `${dayOf(us, zone)} ${clockText(us, zone)}`;
}

/** The instant (us) at which `zone`'s clocks read `local` (`YYYY-MM-DDTHH:MM[:SS]`); NaN when it is no such text. */
export function fromLocal(local: string, zone: string): number {
  const match = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(local);
  if (!match) return Number.NaN;
  const wanted = Date.UTC(
    Number(match[1]),
    Number(match[2]) - 1,
    Number(match[3]),
    Number(match[4]),
    Number(match[5]),
    Number(match[6] ?? "0"),
  );
  let guess = wanted;
  for (let turn = 0; turn < 3; turn += 1) {
    const p = zoneParts(guess * 1000, zone);
    const read = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second);
    if (read === wanted) break;
    guess += wanted - read;
  }
  return guess * 1000;
}

/** `YYYY-MM-DDTHH:MM` of `us` in `zone`, for an input element. */
export function toLocal(us: number, zone: string): string {
  return `${dayOf(us, zone)}T${minuteText(us, zone)}`;
}

/** Length of time as `1:02:03` or `2:03` or `0:07`; less than a second in milliseconds. */
export function spanText(us: number): string {
  if (us > 0 && us < 1_000_000) return `${Math.max(1, Math.round(us / 1000))} ms`;
  const total = Math.max(0, Math.round(us / 1_000_000));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = total % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** The day before or after `day` (`YYYY-MM-DD`). */
export function shiftDay(day: string, days: number): string {
  const at = new Date(`${day}T00:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

/** Whether the engine knows this IANA zone. */
export function knownZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone.length > 0;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
