// Where the stretches of a coverage bar stand. Pure: spans in, rectangles out.
import type { CoverageSpan } from "./types.ts";

export type CoverageClass = "ok" | "still" | "quiet" | "warn" | "bad" | "pending" | "future";

const CLASSES: Record<string, CoverageClass> = {
  recorded: "ok",
  recording: "ok",
  unchanged: "still",
  plan: "quiet",
  off_hours: "quiet",
  powered_off: "quiet",
  no_session: "quiet",
  locked: "quiet",
  paused: "warn",
  secure_desktop: "warn",
  notice_hidden: "warn",
  unsupported: "warn",
  uniform_frame: "warn",
  maintenance: "warn",
  privacy_pause: "warn",
  removed: "quiet",
  pending: "pending",
  future: "future",
};

/** How a state is coloured; a reason that this version does not know is a fault until shown otherwise. */
export function coverageClass(state: string): CoverageClass {
  return CLASSES[state] ?? "bad";
}

export function isRecorded(state: string): boolean {
  const kind = coverageClass(state);
  return kind === "ok" || kind === "still";
}

export interface Bar {
  x: number;
  width: number;
  kind: CoverageClass;
  span: CoverageSpan;
}

/**
 * Rectangles over `width` units for [t0, t1). What is bad or needs a look is never thinner than `least` units, so that
 * a gap of a second in a day can still be seen and pointed at; it is drawn over its neighbours (hence last).
 */
export function layoutCoverage(
  spans: readonly CoverageSpan[],
  t0: number,
  t1: number,
  width: number,
  least = 1.5,
): Bar[] {
  const scale = width / Math.max(1, t1 - t0);
  const under: Bar[] = [];
  const over: Bar[] = [];
  for (const span of spans) {
    const from = Math.max(t0, span.t0_us);
    const to = Math.min(t1, span.t1_us);
    if (to <= from) continue;
    const kind = coverageClass(span.state);
    const exact = (to - from) * scale;
    const loud = kind === "bad" || kind === "warn";
    const wide = loud ? Math.max(least, exact) : exact;
    const x = Math.min((from - t0) * scale, width - wide);
    (loud ? over : under).push({ x: Math.max(0, x), width: wide, kind, span });
  }
  return [...under, ...over];
}

/** Share of the elapsed planned time that is recorded, 0..1; null when nothing was planned yet. */
export function recordedShare(spans: readonly CoverageSpan[], now: number): number | null {
  let planned = 0;
  let recorded = 0;
  for (const span of spans) {
    const kind = coverageClass(span.state);
    const length = Math.min(now, span.t1_us) - span.t0_us;
    if (length <= 0 || kind === "future" || kind === "pending" || kind === "quiet") continue;
    planned += length;
    if (kind === "ok" || kind === "still") recorded += length;
  }
  return planned === 0 ? null : recorded / planned;
}

/** The stretches that need an explanation, in order. */
export function gapsOf(spans: readonly CoverageSpan[]): CoverageSpan[] {
  return spans.filter((span) => ["bad", "warn", "quiet"].includes(coverageClass(span.state)));
}

/** The span in force at `us`, or null. */
export function spanAt(spans: readonly CoverageSpan[], us: number): CoverageSpan | null {
  return spans.find((span) => span.t0_us <= us && us < span.t1_us) ?? null;
}
