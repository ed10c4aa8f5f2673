// One live picture: a video element fed through Media Source Extensions by the rules of docs/decisions/0071.
import { fragmentTimes } from "./fragment.ts";
import { hopOver, rangesOf, trimRange } from "./gaps.ts";
import { LiveEdge } from "./edge.ts";

export interface PlayerReport {
  frames: number;
  bytes: number;
  dropped: number;
  seeks: number;
  waits: number;
  rebuilds: number;
  rate: number;
  target: number;
  behind: number;
  mediaTimeUs: number;
  codec: string;
  width: number;
  height: number;
}

interface Sources {
  media: MediaSource;
  url: string;
}

interface Piece {
  bytes: Uint8Array;
  /** Set on an init segment: the MIME type that holds from here on. */
  type?: string;
}

const TIMESCALE = 90_000;
const KEEP_BEHIND = 6;
const TRIM_AT = 12;
const WATCHDOG_MS = 3000;
const SEEK_GRACE_MS = 1500;
const VISIBLE_MS = 200;
/** Fragments declare four times their nominal duration, so that one lost frame does not starve the decoder. */
const DECLARED_SURPLUS = 3 / 4;

export function canPlay(codec: string): boolean {
  return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported(`video/mp4; codecs="${codec}"`);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

export class LivePlayer {
  readonly video: HTMLVideoElement;
  /** Called when the stream must be asked for again (the decoder failed or the picture stood still). */
  onStuck: () => void = () => undefined;
  #edge = new LiveEdge();
  #sources: Sources | null = null;
  #buffer: SourceBuffer | null = null;
  #queue: Piece[] = [];
  #type = "";
  #codec = "";
  #started = false;
  #frames = 0;
  #lastFrameMs = 0;
  #lastFragmentMs = 0;
  #nudgedMs = 0;
  #soughtMs = 0;
  #waitingMs: number | null = null;
  #surplus = 0;
  #mediaTime = 0;
  #callback = 0;
  #report = { bytes: 0, dropped: 0, seeks: 0, waits: 0, rebuilds: 0, width: 0, height: 0 };

  constructor(video: HTMLVideoElement) {
    this.video = video;
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    video.disablePictureInPicture = true;
    video.addEventListener("waiting", () => this.#waits());
    video.addEventListener("playing", () => this.#resumed());
    video.addEventListener("error", () => this.#failed());
    this.#watchFrames();
  }

  get report(): PlayerReport {
    const ranges = rangesOf(this.video.buffered);
    const last = ranges[ranges.length - 1];
    return {
      ...this.#report,
      frames: this.#frames,
      rate: this.video.playbackRate,
      target: this.#edge.target,
      behind: last ? Math.max(0, last.end - this.#surplus - this.video.currentTime) : 0,
      mediaTimeUs: Math.round(this.#mediaTime * 1_000_000),
      codec: this.#codec,
    };
  }

  /** `performance.now()` of the last presented frame; 0 before the first. */
  get lastFrameMs(): number {
    return this.#lastFrameMs;
  }

  /** New parameters: an init segment follows. */
  prepare(codec: string, width: number, height: number): void {
    this.#codec = codec;
    this.#report.width = width;
    this.#report.height = height;
  }

  init(bytes: Uint8Array): void {
    const type = `video/mp4; codecs="${this.#codec}"`;
    const first = this.#sources === null;
    if (first) this.#open();
    this.#push({ bytes, type });
    if (first) this.#whenOpen(() => this.#addBuffer(type));
  }

  fragment(bytes: Uint8Array): void {
    this.#lastFragmentMs = performance.now();
    const times = fragmentTimes(bytes);
    if (times && times.duration > 0) this.#surplus = (times.duration / TIMESCALE) * DECLARED_SURPLUS;
    if (this.#sources) this.#push({ bytes });
  }

  noteDropped(frames: number): void {
    this.#report.dropped += frames;
  }

  /** Call about four times a second. */
  tick(nowMs: number): void {
    this.#steer(nowMs);
    this.#watch(nowMs);
  }

  /** Forgets the media but keeps the last picture until new media come. */
  reset(): void {
    this.#queue = [];
    this.#started = false;
    this.#nudgedMs = 0;
    this.#lastFragmentMs = 0;
    this.#release();
  }

  close(): void {
    if (this.#callback) this.video.cancelVideoFrameCallback(this.#callback);
    this.reset();
    this.video.removeAttribute("src");
    this.video.load();
  }

  #release(): void {
    if (!this.#sources) return;
    URL.revokeObjectURL(this.#sources.url);
    this.#sources = null;
    this.#buffer = null;
  }

  #open(): void {
    const media = new MediaSource();
    this.#sources = { media, url: URL.createObjectURL(media) };
    this.video.src = this.#sources.url;
  }

  #whenOpen(act: () => void): void {
    const sources = this.#sources;
    if (!sources) return;
    if (sources.media.readyState === "open") act();
    else sources.media.addEventListener("sourceopen", () => this.#sources === sources && act(), { once: true });
  }

  #addBuffer(type: string): void {
    if (!this.#sources || this.#buffer) return;
    const buffer = this.#sources.media.addSourceBuffer(type);
    buffer.mode = "segments";
    this.#type = type;
    buffer.addEventListener("updateend", () => {
      if (this.#buffer !== buffer) return;
      this.#enter();
      this.#pump();
    });
    this.#buffer = buffer;
    this.#pump();
  }

  #push(piece: Piece): void {
    this.#report.bytes += piece.bytes.byteLength;
    this.#queue.push(piece);
    this.#pump();
  }

  #pump(): void {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#sources?.media.readyState !== "open") return;
    const ranges = rangesOf(buffer.buffered);
    const trim = trimRange(ranges, this.video.currentTime, TRIM_AT, KEEP_BEHIND);
    if (trim) {
      buffer.remove(trim.start, trim.end);
      return;
    }
    const next = this.#take();
    if (next) this.#append(buffer, next);
  }

  /** The next init segment alone, or all fragments up to the next init segment in one piece. */
  #take(): Piece | null {
    const head = this.#queue.shift();
    if (!head || head.type !== undefined) return head ?? null;
    const parts = [head.bytes];
    while (this.#queue[0] && this.#queue[0].type === undefined) {
      const part = this.#queue.shift();
      if (part) parts.push(part.bytes);
    }
    return { bytes: parts.length === 1 ? head.bytes : joined(parts) };
  }

  #append(buffer: SourceBuffer, piece: Piece): void {
    try {
      if (piece.type !== undefined && piece.type !== this.#type) {
        this.#type = piece.type;
        buffer.changeType(piece.type);
      }
      buffer.appendBuffer(piece.bytes as BufferSource);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      // QuotaExceededError or a media element in error: start over with fresh media.
      this.#failed();
    }
  }

  #enter(): void {
    if (this.#started) return;
    const ranges = rangesOf(this.video.buffered);
    const last = ranges[ranges.length - 1];
    if (!last) return;
    this.#started = true;
    this.#soughtMs = performance.now();
    this.video.currentTime = this.#edge.entry(last.start, last.end - this.#surplus);
    this.#play();
  }

  #play(): void {
    this.video.play().catch((error: unknown) => {
      // A play() that a new load() interrupted is no fault; the next one follows.
      if (!(error instanceof DOMException)) throw error;
    });
  }

  #steer(nowMs: number): void {
    if (!this.#started) return;
    const ranges = rangesOf(this.video.buffered);
    const last = ranges[ranges.length - 1];
    if (!last) return;
    const hop = hopOver(ranges, this.video.currentTime);
    if (hop !== null) {
      this.#seek(hop);
      return;
    }
    const steering = this.#edge.steer(this.video.currentTime, last.end - this.#surplus, nowMs);
    if (steering.seekTo !== null) this.#seek(Math.max(last.start, steering.seekTo));
    if (this.video.playbackRate !== steering.rate) this.video.playbackRate = steering.rate;
    if (this.video.paused) this.#play();
  }

  #seek(to: number): void {
    this.#report.seeks += 1;
    this.#soughtMs = performance.now();
    this.video.currentTime = to;
  }

  #waits(): void {
    // The wait that follows every seek is no starvation.
    const now = performance.now();
    if (this.#started && now - this.#soughtMs > SEEK_GRACE_MS) this.#waitingMs = now;
  }

  /** Only a pause that one can see counts: near the edge the decoder waits for each frame a little. */
  #resumed(): void {
    const now = performance.now();
    if (this.#waitingMs !== null && now - this.#waitingMs > VISIBLE_MS) {
      this.#report.waits += 1;
      this.#edge.starved(now);
    }
    this.#waitingMs = null;
  }

  /** Media arrive but nothing moves for three seconds: jump to the edge; three more: ask for the stream again. */
  #watch(nowMs: number): void {
    if (!this.#started || nowMs - this.#lastFragmentMs > 1000) {
      this.#nudgedMs = 0;
      return;
    }
    const still = nowMs - Math.max(this.#lastFrameMs, this.#nudgedMs);
    if (still < WATCHDOG_MS) return;
    if (this.#nudgedMs > this.#lastFrameMs) {
      this.#failed();
      return;
    }
    this.#nudgedMs = nowMs;
    const ranges = rangesOf(this.video.buffered);
    const last = ranges[ranges.length - 1];
    if (last) this.#seek(this.#edge.entry(last.start, last.end - this.#surplus));
  }

  #failed(): void {
    if (!this.#sources) return;
    this.#report.rebuilds += 1;
    this.reset();
    this.onStuck();
  }

  #watchFrames(): void {
    const presented = (nowMs: number, frame: VideoFrameCallbackMetadata): void => {
      this.#frames += 1;
      this.#lastFrameMs = nowMs;
      this.#mediaTime = frame.mediaTime;
      this.#callback = this.video.requestVideoFrameCallback(presented);
    };
    this.#callback = this.video.requestVideoFrameCallback(presented);
  }
}
