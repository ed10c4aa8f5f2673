// Keeps a live picture close behind its newest frame: rates 0.95/1/1.1/1.5, a seek when over 2 s behind. The target
// counts from the end of the last real frame; it adapts between 0.08 and 0.6 s to what the line really does.

export interface EdgeOptions {
  target: number;
  least: number;
  most: number;
  seekBehind: number;
}

export interface Steering {
  rate: number;
  seekTo: number | null;
}

export const EDGE_DEFAULTS: EdgeOptions = { target: 0.15, least: 0.08, most: 0.6, seekBehind: 2 };

export class LiveEdge {
  readonly #options: EdgeOptions;
  #target: number;
  #calmSinceMs = 0;
  #starvedMs: number | null = null;

  constructor(options: Partial<EdgeOptions> = {}) {
    this.#options = { ...EDGE_DEFAULTS, ...options };
    this.#target = this.#options.target;
  }

  get target(): number {
    return this.#target;
  }

  /** The picture starved visibly: stay further behind from now on. One bad moment counts once. */
  starved(nowMs: number): void {
    if (this.#starvedMs !== null && nowMs - this.#starvedMs < 1000) return;
    this.#starvedMs = nowMs;
    this.#target = Math.min(this.#options.most, this.#target * 1.25);
    this.#calmSinceMs = nowMs;
  }

  /** Where to start: `target` behind the newest frame, but never before the first. */
  entry(first: number, newest: number): number {
    return Math.max(first, newest - this.#target);
  }

  /**
   * What to do now. `newest` is the end of the last real frame (the declared surplus duration taken off), in seconds
   * of the wall clock, as is `position`.
   */
  steer(position: number, newest: number, nowMs: number): Steering {
    this.#relax(nowMs);
    const behind = newest - position;
    if (behind > this.#options.seekBehind || behind < -1) return { rate: 1, seekTo: newest - this.#target };
    if (behind > this.#target + 0.2) return { rate: 1.5, seekTo: null };
    if (behind > this.#target + 0.04) return { rate: 1.1, seekTo: null };
    if (behind < this.#target - 0.05) return { rate: 0.95, seekTo: null };
    return { rate: 1, seekTo: null };
  }

  /** Three calm seconds bring the target down by a tenth. */
  #relax(nowMs: number): void {
    if (this.#calmSinceMs === 0) this.#calmSinceMs = nowMs;
    if (nowMs - this.#calmSinceMs < 3_000) return;
    this.#calmSinceMs = nowMs;
    this.#target = Math.max(this.#options.least, this.#target * 0.9);
  }
}
