// A screen lane: the snapshot in force at the master clock's time, fetched ahead a little, drawn on a canvas.
import { ApiError, send } from "../core/api.ts";
import { isRecorded, spanAt } from "../core/coverage.ts";
import type { TimelineScreen } from "../core/types.ts";
import { isPassing, RETRY_MS } from "./lane.ts";
import type { MasterClock } from "./master.ts";
import { lastAtOrBefore } from "./timeline.ts";

export type ScreenState = "picture" | "loading" | "gap" | "pending" | "failed";

const KEEP = 16;

interface Held {
  bitmap: ImageBitmap;
  pictureUs: number;
}

export class ScreenLane {
  readonly screen: TimelineScreen;
  readonly canvas = document.createElement("canvas");
  state: ScreenState = "loading";
  cause = "";
  /** Time of the snapshot on the canvas; null while none is shown. */
  pictureUs: number | null = null;
  #steppedUs = 0;
  readonly #master: MasterClock;
  readonly #held = new Map<number, Held>();
  readonly #asked = new Set<number>();
  readonly #failed = new Map<number, string>();

  constructor(screen: TimelineScreen, master: MasterClock) {
    this.screen = screen;
    this.#master = master;
    this.canvas.width = screen.width || 1280;
    this.canvas.height = screen.height || 720;
  }

  /** Whether what is shown was chosen for the master clock's present time. */
  get presenting(): boolean {
    return this.state === "picture" && (this.#master.running || this.#steppedUs === this.#master.nowUs);
  }

  get waiting(): boolean {
    return this.state === "loading";
  }

  extend(screen: TimelineScreen): void {
    this.screen.pictures = screen.pictures;
    this.screen.coverage = screen.coverage;
  }

  close(): void {
    for (const held of this.#held.values()) held.bitmap.close();
    this.#held.clear();
  }

  /** Shows what was on the screen at the master clock's time; call at each animation frame. */
  step(): void {
    const us = this.#master.nowUs;
    this.#steppedUs = us;
    const span = spanAt(this.screen.coverage, us);
    if (span?.state === "pending") {
      this.#clear("pending", span.state);
      return;
    }
    if (span && !isRecorded(span.state)) {
      this.#clear("gap", span.state);
      return;
    }
    const index = lastAtOrBefore(this.screen.pictures, us);
    const key = index >= 0 ? (this.screen.pictures[index] as number) : this.#master.t0;
    const held = this.#held.get(key);
    if (held) this.#draw(held);
    else this.#missing(key);
    this.#ahead(index);
  }

  #missing(key: number): void {
    const fault = this.#failed.get(key);
    if (fault) this.#clear(fault === "no_picture" ? "gap" : "failed", fault);
    else {
      this.#clear("loading", "");
      void this.#fetch(key);
    }
  }

  #ahead(index: number): void {
    for (let step = 1; step <= 2; step += 1) {
      const next = this.screen.pictures[index + step];
      if (next !== undefined && !this.#held.has(next)) void this.#fetch(next);
    }
  }

  async #fetch(key: number): Promise<void> {
    if (this.#asked.has(key) || this.#failed.has(key)) return;
    this.#asked.add(key);
    try {
      const answer = await send(`/api/media/screens/${this.screen.monitor_id}/at?t_us=${key}`, { footage: true });
      const pictureUs = Number(answer.headers.get("X-Sunhall-Picture-Us") ?? key);
      this.#keep(key, { bitmap: await createImageBitmap(await answer.blob()), pictureUs });
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof DOMException)) throw error;
      this.#failed.set(key, error instanceof ApiError ? error.code : "object_damaged");
      if (error instanceof ApiError && isPassing(error)) window.setTimeout(() => this.#failed.delete(key), RETRY_MS);
    } finally {
      this.#asked.delete(key);
    }
  }

  #keep(key: number, held: Held): void {
    this.#held.set(key, held);
    if (this.#held.size <= KEEP) return;
    const oldest = this.#held.keys().next().value;
    if (oldest === undefined) return;
    this.#held.get(oldest)?.bitmap.close();
    this.#held.delete(oldest);
  }

  #draw(held: Held): void {
    this.state = "picture";
    this.cause = "";
    const size = this.#sizeFor(held.bitmap);
    const same = this.canvas.width === size.width && this.canvas.height === size.height;
    if (this.pictureUs === held.pictureUs && same) return;
    this.canvas.width = size.width;
    this.canvas.height = size.height;
    const pen = this.canvas.getContext("2d");
    if (pen) {
      // Scaled here and not by the style sheet: text stays legible only with good filtering.
      pen.imageSmoothingQuality = "high";
      pen.drawImage(held.bitmap, 0, 0, size.width, size.height);
    }
    this.pictureUs = held.pictureUs;
  }

  /** The picture's own size, or what the page has room for when that is less. */
  #sizeFor(bitmap: ImageBitmap): { width: number; height: number } {
    const ratio = window.devicePixelRatio || 1;
    const room = Math.min(
      (this.canvas.clientWidth * ratio) / bitmap.width,
      (this.canvas.clientHeight * ratio) / bitmap.height,
    );
    const scale = room > 0 ? Math.min(1, room) : 1;
    return { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) };
  }

  /** Nothing to show: never leave an older picture standing as if it were of now. */
  #clear(state: ScreenState, cause: string): void {
    this.state = state;
    this.cause = cause;
    if (this.pictureUs === null) return;
    this.canvas.getContext("2d")?.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.pictureUs = null;
  }
}
