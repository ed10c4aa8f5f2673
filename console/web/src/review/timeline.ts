// The mathematics of the timeline: a window of wall time over a width in pixels.

export interface TimeView {
  t0: number;
  t1: number;
  width: number;
}

const SECOND = 1_000_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400].map((one) => one * SECOND);
const LEAST_SPAN = 2 * SECOND;

export function xOf(view: TimeView, us: number): number {
  return ((us - view.t0) / (view.t1 - view.t0)) * view.width;
}

export function usOf(view: TimeView, x: number): number {
  return Math.round(view.t0 + (x / Math.max(1, view.width)) * (view.t1 - view.t0));
}

/** Keeps a view inside [t0, t1] without changing its length unless it is longer than the whole. */
export function clampView(view: TimeView, t0: number, t1: number): TimeView {
  const span = Math.min(view.t1 - view.t0, t1 - t0);
  const from = Math.min(Math.max(view.t0, t0), t1 - span);
  return { t0: from, t1: from + span, width: view.width };
}

/** Zooms by `factor` (> 1 shows less) so that `us` keeps its place on the screen. */
export function zoomAt(view: TimeView, us: number, factor: number, t0: number, t1: number): TimeView {
  const span = Math.max(Math.min(LEAST_SPAN, t1 - t0), Math.min(t1 - t0, (view.t1 - view.t0) / factor));
  const share = (us - view.t0) / (view.t1 - view.t0);
  const from = Math.round(us - share * span);
  return clampView({ t0: from, t1: from + span, width: view.width }, t0, t1);
}

/** Moves by a number of pixels. */
export function panBy(view: TimeView, pixels: number, t0: number, t1: number): TimeView {
  const by = Math.round((pixels / Math.max(1, view.width)) * (view.t1 - view.t0));
  return clampView({ ...view, t0: view.t0 + by, t1: view.t1 + by }, t0, t1);
}

/** Brings `us` into the view with some room before it, while playing. */
export function follow(view: TimeView, us: number, t0: number, t1: number): TimeView {
  if (us >= view.t0 && us <= view.t1 - (view.t1 - view.t0) * 0.04) return view;
  const span = view.t1 - view.t0;
  return clampView({ t0: us - span * 0.1, t1: us + span * 0.9, width: view.width }, t0, t1);
}

/** Where labels stand: at round times, at least `room` pixels apart. */
export function ticksOf(view: TimeView, room = 96): number[] {
  const least = ((view.t1 - view.t0) * room) / Math.max(1, view.width);
  const step = STEPS.find((one) => one >= least) ?? (STEPS[STEPS.length - 1] as number);
  const ticks: number[] = [];
  for (let at = Math.ceil(view.t0 / step) * step; at <= view.t1; at += step) ticks.push(at);
  return ticks;
}

/** The event before or after `us`; within half a second of an event the one beyond it. */
export function neighbour(times: readonly number[], us: number, direction: -1 | 1): number | null {
  const sorted = [...times].sort((a, b) => a - b);
  if (direction > 0) return sorted.find((one) => one > us + 1000) ?? null;
  return sorted.reverse().find((one) => one < us - SECOND / 2) ?? null;
}

/** The last of `times` (ascending) at or before `us`; -1 when there is none. */
export function lastAtOrBefore(times: readonly number[], us: number): number {
  let low = 0;
  let high = times.length - 1;
  let found = -1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= us) {
      found = middle;
      low = middle + 1;
    } else high = middle - 1;
  }
  return found;
}
