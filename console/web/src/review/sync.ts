// How a lane's video keeps step with the master clock. Pure decisions; the lane carries them out.

export interface Step {
  seekTo: number | null;
  rate: number;
}

const SEEK_BEYOND = 0.3;
const CORRECTION = 0.7;
const MOST = 0.2;

/**
 * While running: a small error is corrected by the rate, a large one by a seek. `behind` is wanted minus shown, in media
 * seconds; `rate` the speed that the lane should have now.
 */
export function running(position: number, wanted: number, rate: number): Step {
  const behind = wanted - position;
  if (Math.abs(behind) > SEEK_BEYOND * Math.max(1, rate)) return { seekTo: wanted, rate };
  const nudge = Math.max(-MOST, Math.min(MOST, behind * CORRECTION));
  return { seekTo: null, rate: Math.max(0.0625, Math.min(16, rate * (1 + nudge))) };
}

/** While standing: exactly there. */
export function standing(position: number, wanted: number): Step {
  return { seekTo: Math.abs(wanted - position) > 0.0005 ? wanted : null, rate: 1 };
}

/** Frame interval learned from presented media times (seconds): the smallest step that came up, within reason. */
export class FrameInterval {
  #last: number | null = null;
  #steps: number[] = [];

  take(mediaTime: number): void {
    if (this.#last !== null) {
      const step = mediaTime - this.#last;
      if (step > 0.004 && step < 0.6) {
        this.#steps.push(step);
        if (this.#steps.length > 50) this.#steps.shift();
      }
    }
    this.#last = mediaTime;
  }

  get seconds(): number {
    if (this.#steps.length < 3) return 0.04;
    const sorted = [...this.#steps].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 4)] as number;
  }
}
