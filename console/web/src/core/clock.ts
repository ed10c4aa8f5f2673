// The hall's clock as the server tells it. The viewing PC's clock may be wrong by minutes; only its steady
// tick (performance.now) is used.

export interface TimeSample {
  sentMs: number;
  receivedMs: number;
  serverUs: number;
}

/** Follows the server's clock; the sample with the shortest round trip wins until it is `keepMs` old. */
export class ServerClock {
  readonly #ticks: () => number;
  readonly #keepMs: number;
  #offsetUs: number | null = null;
  #bestRoundTripMs = Number.POSITIVE_INFINITY;
  #takenMs = 0;

  constructor(ticks: () => number = () => performance.now(), keepMs = 300_000) {
    this.#ticks = ticks;
    this.#keepMs = keepMs;
  }

  get known(): boolean {
    return this.#offsetUs !== null;
  }

  /** Half the round trip of the sample in use, in microseconds: how wrong the clock may be. */
  get errorUs(): number {
    return (this.#bestRoundTripMs * 1000) / 2;
  }

  take(sample: TimeSample): void {
    const roundTrip = Math.max(0, sample.receivedMs - sample.sentMs);
    const old = sample.receivedMs - this.#takenMs > this.#keepMs;
    if (this.#offsetUs !== null && roundTrip > this.#bestRoundTripMs && !old) return;
    this.#offsetUs = sample.serverUs - ((sample.sentMs + sample.receivedMs) / 2) * 1000;
    this.#bestRoundTripMs = roundTrip;
    this.#takenMs = sample.receivedMs;
  }

  /** Server time now, microseconds UTC; 0 until the first sample. */
  nowUs(): number {
    return this.#offsetUs === null ? 0 : Math.round(this.#offsetUs + this.#ticks() * 1000);
  }

  /** Server time at a `performance.now()` reading. */
  atUs(ticksMs: number): number {
    return this.#offsetUs === null ? 0 : Math.round(this.#offsetUs + ticksMs * 1000);
  }
}
