// The sound of a lane, beside its picture: an element of its own that follows the same clock and never holds it up.
import type { TimelineSegment } from "../core/types.ts";
import { rangesOf } from "../live/gaps.ts";
import { soundCodec, TrackFilter } from "./tracks.ts";

const SEEK_BEYOND = 0.25;
const CORRECTION = 0.4;
const MOST = 0.05;
const SLOWEST = 0.5;
const FASTEST = 2;

export function canHear(codec: string): boolean {
  return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported(mime(codec));
}

/** Whether the sound of this segment can be played here. */
export function audible(segment: TimelineSegment): boolean {
  const codec = soundCodec(segment.codec);
  return codec !== "" && canHear(codec);
}

function mime(codec: string): string {
  return `audio/mp4; codecs="${codec}"`;
}

interface Following {
  silent: boolean;
  seekTo: number | null;
  rate: number;
}

/**
 * How the sound follows the picture: where to put it, or null to leave it, and how fast it plays. At speeds that nobody
 * understands it is silent.
 */
export function follow(at: number, wanted: number, rate: number): Following {
  const silent = rate < SLOWEST || rate > FASTEST;
  if (silent || Math.abs(wanted - at) > SEEK_BEYOND) return { silent, seekTo: silent ? null : wanted, rate };
  const nudge = Math.max(-MOST, Math.min(MOST, (wanted - at) * CORRECTION));
  return { silent, seekTo: null, rate: rate * (1 + nudge) };
}

interface Piece {
  bytes: Uint8Array<ArrayBuffer>;
  /** Begins a file: what came before it may have been given up in its middle. */
  first: boolean;
  type: string;
  offset: number;
}

interface Removal {
  from: number;
  to: number;
}

export class Sound {
  readonly audio = document.createElement("audio");
  /** The browser could not play what came; the picture goes on. */
  failed = false;
  readonly #media = new MediaSource();
  readonly #url: string;
  #buffer: SourceBuffer | null = null;
  #filter = new TrackFilter("soun");
  #queue: (Piece | Removal)[] = [];
  #type = "";
  #next = { type: "", offset: 0, first: true };
  #starting = false;

  constructor() {
    this.#url = URL.createObjectURL(this.#media);
    this.audio.src = this.#url;
    this.#media.addEventListener("sourceopen", () => this.#pump(), { once: true });
    this.audio.addEventListener("error", () => this.#fail());
  }

  /** The bytes that follow are of this segment, from its head on. */
  begin(segment: TimelineSegment): void {
    this.#filter = new TrackFilter("soun");
    const type = audible(segment) ? mime(soundCodec(segment.codec)) : "";
    this.#next = { type, offset: segment.t0_us / 1_000_000, first: true };
  }

  take(bytes: Uint8Array): void {
    if (!this.#next.type || this.failed) return;
    const shown = this.#filter.take(bytes);
    if (shown.length === 0) return;
    this.#queue.push({ bytes: shown, ...this.#next });
    this.#next = { ...this.#next, first: false };
    this.#pump();
  }

  /** The picture forgets these seconds; the sound does so too. */
  forget(from: number, to: number): void {
    this.#queue.push({ from, to });
    this.#pump();
  }

  /** Call at each animation frame with where the picture is. */
  step(wanted: number, runs: boolean, rate: number): void {
    const step = follow(this.audio.currentTime, wanted, rate);
    const there = rangesOf(this.audio.buffered).some((one) => wanted >= one.start && wanted < one.end);
    if (!runs || step.silent || !there || this.failed) {
      this.pause();
      return;
    }
    if (this.audio.seeking) return;
    if (step.seekTo !== null) this.audio.currentTime = step.seekTo;
    if (Math.abs(this.audio.playbackRate - step.rate) > 0.005) this.audio.playbackRate = step.rate;
    if (this.audio.paused && !this.#starting) this.#start();
  }

  pause(): void {
    if (!this.audio.paused) this.audio.pause();
  }

  close(): void {
    this.pause();
    this.failed = true;
    this.#queue = [];
    URL.revokeObjectURL(this.#url);
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  #start(): void {
    this.#starting = true;
    this.audio
      .play()
      .catch((error: unknown) => {
        // A play() that a pause or a seek interrupted is no fault: the next step tries again.
        if (!(error instanceof DOMException)) throw error;
      })
      .finally(() => {
        this.#starting = false;
      });
  }

  #pump(): void {
    if (this.failed || this.#media.readyState !== "open" || this.#buffer?.updating) return;
    const next = this.#queue.shift();
    if (!next) return;
    try {
      if ("from" in next) this.#buffer?.remove(next.from, next.to);
      else this.#append(next);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      this.#fail();
    }
  }

  #append(piece: Piece): void {
    const buffer = this.#ready(piece.type, piece.first);
    if (piece.first) buffer.timestampOffset = piece.offset;
    buffer.appendBuffer(piece.bytes);
  }

  #ready(type: string, first: boolean): SourceBuffer {
    let buffer = this.#buffer;
    if (buffer && first) buffer.abort();
    if (!buffer) {
      this.#media.duration = Number.POSITIVE_INFINITY;
      buffer = this.#media.addSourceBuffer(type);
      buffer.mode = "segments";
      buffer.addEventListener("updateend", () => this.#pump());
      this.#buffer = buffer;
    } else if (type !== this.#type) {
      buffer.changeType(type);
    }
    this.#type = type;
    return buffer;
  }

  #fail(): void {
    this.failed = true;
    this.#queue = [];
    this.pause();
  }
}
