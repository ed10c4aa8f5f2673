// One clock for all lanes: where in wall time the review stands.

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8] as const;

export class MasterClock extends EventTarget {
  readonly #ticks: () => number;
  #t0: number;
  #t1: number;
  #baseUs: number;
  #baseMs: number;
  #rate = 1;
  #playing = false;
  #held = false;

  constructor(t0: number, t1: number, ticks: () => number = () => performance.now()) {
    super();
    this.#ticks = ticks;
    this.#t0 = t0;
    this.#t1 = t1;
    this.#baseUs = t0;
    this.#baseMs = ticks();
  }

  get t0(): number {
    return this.#t0;
  }

  get t1(): number {
    return this.#t1;
  }

  get rate(): number {
    return this.#rate;
  }

  /** Whether the user wants it to run. */
  get playing(): boolean {
    return this.#playing;
  }

  /** Whether it really runs: playing, and not waiting for a lane's media. */
  get running(): boolean {
    return this.#playing && !this.#held;
  }

  get nowUs(): number {
    if (!this.running) return this.#baseUs;
    const us = this.#baseUs + (this.#ticks() - this.#baseMs) * 1000 * this.#rate;
    return Math.round(Math.min(us, this.#t1));
  }

  /** Stops at the end; call often. */
  tick(): void {
    if (this.running && this.nowUs >= this.#t1) this.pause();
  }

  play(): void {
    if (this.#playing) return;
    if (this.nowUs >= this.#t1) this.#baseUs = this.#t0;
    this.#rebase();
    this.#playing = true;
    this.#tell();
  }

  pause(): void {
    if (!this.#playing) return;
    this.#rebase();
    this.#playing = false;
    this.#tell();
  }

  toggle(): void {
    if (this.#playing) this.pause();
    else this.play();
  }

  seek(us: number): void {
    this.#baseUs = Math.round(Math.min(this.#t1, Math.max(this.#t0, us)));
    this.#baseMs = this.#ticks();
    this.#tell();
  }

  setRate(rate: number): void {
    this.#rebase();
    this.#rate = rate;
    this.#tell();
  }

  faster(): void {
    this.setRate(SPEEDS.find((one) => one > this.#rate) ?? this.#rate);
  }

  slower(): void {
    this.setRate([...SPEEDS].reverse().find((one) => one < this.#rate) ?? this.#rate);
  }

  /** Waits for media (true) or goes on (false). */
  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#rebase();
    this.#held = held;
    this.#tell();
  }

  /** An open visit grows. */
  extend(t1: number): void {
    if (t1 > this.#t1) this.#t1 = t1;
  }

  #rebase(): void {
    this.#baseUs = this.nowUs;
    this.#baseMs = this.#ticks();
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}
