// A camera lane of the review: recorded segments fetched under the purpose, played through MSE at their wall time.
import { ApiError, send } from "../core/api.ts";
import { spanAt } from "../core/coverage.ts";
import type { TimelineCamera, TimelineSegment } from "../core/types.ts";
import { rangesOf } from "../live/gaps.ts";
import { canPlay } from "../live/player.ts";
import { findMoof, headEnd, startByte } from "./boxes.ts";
import {
  chooseStream,
  elementTime,
  mediaRate,
  mediaSeconds,
  presentedWall,
  segmentAt,
  type Choice,
} from "./mapping.ts";
import type { MasterClock } from "./master.ts";
import { audible, Sound } from "./sound.ts";
import { FrameInterval, running, standing } from "./sync.ts";
import { pictureCodec, soundCodec, TrackFilter } from "./tracks.ts";

export type LaneState = "picture" | "loading" | "gap" | "pending" | "failed" | "none";

/** Engines hold about 150 MB a video; stay well below. */
const KEEP_BYTES = 90_000_000;
const HOLE = 1;
const IN_STEP_US = 1_000_000;
export const RETRY_MS = 3000;
const AHEAD_US = 15_000_000;
const CHUNK = 262_144;
const HEAD = 8192;

interface Loading {
  id: string;
  abort: AbortController;
}

export class CameraLane {
  readonly camera: TimelineCamera;
  readonly video = document.createElement("video");
  readonly choice: Choice | null;
  readonly interval = new FrameInterval();
  state: LaneState = "none";
  /** Gap reason or error code, for the words on the lane. */
  cause = "";
  frames = 0;
  /** Wall time of the presented frame. */
  wallUs: number | null = null;
  readonly #master: MasterClock;
  #segments: TimelineSegment[] = [];
  #media: MediaSource | null = null;
  #url = "";
  #buffer: SourceBuffer | null = null;
  #type = "";
  #loaded: string[] = [];
  #failed = new Map<string, string>();
  #again = new Map<string, number>();
  #loading: Loading | null = null;
  #pausing = false;
  #sound: Sound | null = null;

  constructor(camera: TimelineCamera, master: MasterClock) {
    this.camera = camera;
    this.#master = master;
    this.choice = chooseStream(camera.streams, canPlay);
    this.#segments = this.choice?.stream.segments ?? [];
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.disablePictureInPicture = true;
    this.video.addEventListener("error", () => this.#broken());
    this.#watchFrames();
  }

  get segments(): readonly TimelineSegment[] {
    return this.#segments;
  }

  /** Adds segments that were committed since (an open visit grows). */
  extend(camera: TimelineCamera): void {
    this.camera.coverage = camera.coverage;
    const same = camera.streams.find((one) => one.id === this.choice?.stream.id);
    if (same) this.#segments = same.segments;
  }

  /** Whether the presented frame is that of the master clock's time: not while a seek is under way. */
  get presenting(): boolean {
    if (this.state !== "picture" || this.video.seeking || this.wallUs === null) return false;
    return Math.abs(this.wallUs - this.#master.nowUs) < IN_STEP_US * Math.max(1, this.#master.rate);
  }

  /** Whether the master clock should wait for this lane. */
  get waiting(): boolean {
    return this.state === "loading";
  }

  /** Whether there is sound that can be played here. */
  get audible(): boolean {
    return this.choice?.how !== "converted" && this.#segments.some(audible);
  }

  /** Whether the sound is on. */
  get sounding(): boolean {
    return this.#sound !== null;
  }

  /** The sound's element, for those who look at it. */
  get audio(): HTMLAudioElement | null {
    return this.#sound?.audio ?? null;
  }

  /** Sound on or off. What is loaded has no sound yet and is fetched again. */
  setSound(on: boolean): void {
    if (on === this.sounding) return;
    this.#sound?.close();
    this.#sound = on ? new Sound() : null;
    if (!on) return;
    this.#loading?.abort.abort();
    this.#loading = null;
    this.#loaded = [];
  }

  open(): void {
    if (this.#media || !this.choice) return;
    const media = new MediaSource();
    this.#media = media;
    this.#url = URL.createObjectURL(media);
    this.video.src = this.#url;
    media.addEventListener("sourceopen", () => this.#opened(media), { once: true });
  }

  close(): void {
    this.#loading?.abort.abort();
    this.#loading = null;
    this.setSound(false);
    this.#buffer = null;
    this.#media = null;
    this.#loaded = [];
    this.#failed.clear();
    this.#again.clear();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    this.video.removeAttribute("src");
    this.video.load();
    this.state = "none";
  }

  /** Brings the picture to where the master clock stands; call at each animation frame. */
  step(): void {
    const us = this.#master.nowUs;
    const segment = segmentAt(this.#segments, us);
    if (!segment) {
      this.#showGap(us);
      this.#prepareNext(us);
      return;
    }
    const fault = this.#failed.get(segment.id);
    if (fault) {
      this.#set("failed", fault);
      this.#pause();
      return;
    }
    this.#wantSegment(segment, us);
    const wanted = Math.min(elementTime(segment, us), elementTime(segment, segment.t1_us) - 0.002);
    const reached = this.video.readyState < 1 ? null : this.#reach(wanted);
    if (reached === null) {
      this.#set("loading");
      this.#pause();
      this.#lookAgain(segment);
      return;
    }
    this.#set(this.video.seeking && this.video.readyState < 2 ? "loading" : "picture");
    this.#steer(reached, mediaRate(segment));
    this.#sound?.step(wanted, this.#master.running, this.#master.rate * mediaRate(segment));
  }

  #steer(wanted: number, scale: number): void {
    if (this.video.seeking) return;
    const runs = this.#master.running;
    const rate = this.#master.rate * scale;
    const step = runs ? running(this.video.currentTime, wanted, rate) : standing(this.video.currentTime, wanted);
    if (!runs) this.#pause();
    if (step.seekTo !== null) this.video.currentTime = step.seekTo;
    if (!runs) return;
    if (Math.abs(this.video.playbackRate - step.rate) > 0.002) this.video.playbackRate = step.rate;
    if (this.video.paused && !this.#pausing) {
      this.#pausing = true;
      this.video
        .play()
        .catch((error: unknown) => {
          // A play() that a pause or a load interrupted is no fault: the next step tries again.
          if (!(error instanceof DOMException)) throw error;
        })
        .finally(() => {
          this.#pausing = false;
        });
    }
  }

  /** The decoder gave up: this segment is not tried again, the others go on with fresh media. */
  #broken(): void {
    const segment = segmentAt(this.#segments, this.#master.nowUs);
    if (!this.#media || !segment) return;
    const failed = new Map(this.#failed).set(segment.id, "playback_failed");
    const sounding = this.sounding;
    this.close();
    this.#failed = failed;
    this.open();
    this.setSound(sounding);
  }

  #pause(): void {
    this.#sound?.pause();
    if (!this.video.paused) this.video.pause();
  }

  #set(state: LaneState, cause = ""): void {
    this.state = state;
    this.cause = cause;
  }

  #showGap(us: number): void {
    this.#pause();
    const span = spanAt(this.camera.coverage, us);
    if (span?.state === "pending" || span?.state === "recorded") this.#set("pending");
    else if (!this.choice || this.#segments.length === 0) this.#set("none", span?.state ?? "");
    else this.#set("gap", span?.state ?? "unknown");
  }

  /** Where the buffer can show `position`: there, or at the first frame after it within a second; null: not yet. */
  #reach(position: number): number | null {
    for (const range of rangesOf(this.video.buffered)) {
      if (position >= range.end) continue;
      if (position >= range.start) return position;
      return range.start - position < HOLE ? range.start : null;
    }
    return null;
  }

  /** A loaded segment whose media are gone: the engine made room by itself. Fetch it again, but not for ever. */
  #lookAgain(segment: TimelineSegment): void {
    if (this.#loading || !this.#loaded.includes(segment.id)) return;
    const times = (this.#again.get(segment.id) ?? 0) + 1;
    this.#again.set(segment.id, times);
    if (times > 5) this.#failed.set(segment.id, "playback_failed");
    this.#loaded = this.#loaded.filter((id) => id !== segment.id);
  }

  #prepareNext(us: number): void {
    const next = this.#segments.find((one) => one.t0_us > us && one.t0_us - us < AHEAD_US * this.#master.rate);
    if (next && this.#master.playing) this.#wantSegment(next, next.t0_us);
  }

  /** Loads this segment now, and the one that follows when the position comes near it. */
  #wantSegment(segment: TimelineSegment, us: number): void {
    if (!this.#buffer) return;
    if (!this.#loaded.includes(segment.id)) {
      if (this.#loading?.id !== segment.id) void this.#load(segment, us);
      return;
    }
    if (this.#loading) return;
    const next = this.#segments[this.#segments.indexOf(segment) + 1];
    const soon = segment.t1_us - us < AHEAD_US * Math.max(1, this.#master.rate);
    if (next && soon && !this.#loaded.includes(next.id) && !this.#failed.has(next.id))
      void this.#load(next, next.t0_us);
  }

  #opened(media: MediaSource): void {
    if (this.#media !== media) return;
    const first = this.#segments[0];
    if (!first) return;
    this.#type = mime(this.#codecOf(first));
    if (!MediaSource.isTypeSupported(this.#type)) {
      for (const segment of this.#segments) this.#failed.set(segment.id, "unplayable");
      return;
    }
    media.duration = Number.POSITIVE_INFINITY;
    this.#buffer = media.addSourceBuffer(this.#type);
    this.#buffer.mode = "segments";
  }

  #codecOf(segment: TimelineSegment): string {
    return this.choice?.how === "converted" ? "avc1.64001F" : pictureCodec(segment.codec);
  }

  /** Loads a segment so that `us` can be shown: from shortly before it, or whole when the first try did not reach it. */
  async #load(segment: TimelineSegment, us: number): Promise<void> {
    this.#loading?.abort.abort();
    const job: Loading = { id: segment.id, abort: new AbortController() };
    this.#loading = job;
    try {
      await this.#evict(segment);
      await this.#fetch(segment, us, job);
      if (this.#loading === job) this.#loaded.push(segment.id);
    } catch (error) {
      if (job.abort.signal.aborted) return;
      this.#noteFault(segment, error);
    } finally {
      if (this.#loading === job) this.#loading = null;
    }
  }

  #noteFault(segment: TimelineSegment, error: unknown): void {
    if (error instanceof ApiError) {
      const none = this.choice?.how === "converted" && error.status === 404;
      this.#failed.set(segment.id, none ? "unplayable" : error.code);
      if (isPassing(error)) window.setTimeout(() => this.#failed.delete(segment.id), RETRY_MS);
    } else if (error instanceof DOMException || error instanceof TypeError) {
      this.#failed.set(segment.id, "playback_failed");
    } else throw error;
  }

  async #fetch(segment: TimelineSegment, us: number, job: Loading): Promise<void> {
    const converted = this.choice?.how === "converted";
    const path = `/api/media/segments/${segment.id}${converted ? "/converted" : ""}`;
    const ask = (range?: string): Promise<Response> =>
      send(path, { footage: true, signal: job.abort.signal, ...(range ? { headers: { Range: range } } : {}) });
    const from = converted || this.#again.has(segment.id) ? 0 : startByte(segment, us);
    const head = from > 0 ? await headOf(ask) : null;
    if (!(await this.#prepare(segment, job))) return;
    const filter = soundCodec(segment.codec) ? new TrackFilter("vide") : null;
    this.#sound?.begin(segment);
    if (head) {
      await this.#put(head, filter);
      await this.#append(await ask(`bytes=${from}-`), job, filter, true);
    } else await this.#append(await ask(), job, filter, false);
  }

  /** Gives bytes of a file to the picture and to the sound, each its own track. */
  async #put(bytes: Uint8Array<ArrayBuffer>, filter: TrackFilter | null): Promise<void> {
    this.#sound?.take(bytes);
    const picture = filter ? filter.take(bytes) : bytes;
    if (!this.#buffer || picture.length === 0) return;
    this.#buffer.appendBuffer(picture);
    await settled(this.#buffer);
  }

  /** Makes the buffer ready for another file; false when there is no buffer any more. */
  async #prepare(segment: TimelineSegment, job: Loading): Promise<boolean> {
    const buffer = this.#buffer;
    if (!buffer) return false;
    await settled(buffer);
    if (job.abort.signal.aborted) return false;
    buffer.abort();
    const type = mime(this.#codecOf(segment));
    if (type !== this.#type) {
      this.#type = type;
      buffer.changeType(type);
    }
    buffer.timestampOffset = segment.t0_us / 1_000_000;
    return true;
  }

  /**
   * Puts the bytes in as they come, so that the first picture does not wait for the last byte. `middle`: what comes
   * before the first fragment is the end of another one and is left out.
   */
  async #append(answer: Response, job: Loading, filter: TrackFilter | null, middle: boolean): Promise<void> {
    if (!this.#buffer || !answer.body) return;
    let seeking = middle;
    const reader = answer.body.getReader();
    let kept: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (value) {
        kept.push(value);
        size += value.byteLength;
      }
      if (size > 0 && (done || size >= CHUNK)) {
        if (job.abort.signal.aborted) return;
        let bytes = join(kept, size);
        if (seeking) {
          const at = findMoof(bytes);
          if (at >= 0) bytes = bytes.slice(at);
          seeking = at < 0;
        }
        if (!seeking) {
          kept = [];
          size = 0;
          await this.#put(bytes, filter);
        }
      }
      if (done) return;
    }
  }

  /** Makes room for a segment: what is furthest from it leaves the buffer first. */
  async #evict(wanted: TimelineSegment): Promise<void> {
    const buffer = this.#buffer;
    if (!buffer) return;
    for (;;) {
      const held = this.#segments.filter((one) => this.#loaded.includes(one.id));
      const size = held.reduce((sum, one) => sum + one.bytes, wanted.bytes);
      const far = held.sort((a, b) => Math.abs(b.t0_us - wanted.t0_us) - Math.abs(a.t0_us - wanted.t0_us))[0];
      if (size <= KEEP_BYTES || !far) return;
      this.#loaded = this.#loaded.filter((id) => id !== far.id);
      await settled(buffer);
      const start = far.t0_us / 1_000_000;
      buffer.remove(start, start + mediaSeconds(far));
      this.#sound?.forget(start, start + mediaSeconds(far));
      await settled(buffer);
    }
  }

  #watchFrames(): void {
    const presented = (_now: number, frame: VideoFrameCallbackMetadata): void => {
      this.frames += 1;
      this.interval.take(frame.mediaTime);
      this.wallUs = presentedWall(this.#segments, frame.mediaTime);
      this.video.requestVideoFrameCallback(presented);
    };
    this.video.requestVideoFrameCallback(presented);
  }
}

/** A fault that may be over soon: the console or what it asks was away. */
export function isPassing(error: ApiError): boolean {
  return error.status === 0 || (error.status >= 502 && error.status <= 504);
}

function mime(codec: string): string {
  return `video/mp4; codecs="${codec}"`;
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** The first bytes of a segment up to the end of its `moov`; null when they are not what is expected. */
async function headOf(ask: (range: string) => Promise<Response>): Promise<Uint8Array<ArrayBuffer> | null> {
  const answer = await ask(`bytes=0-${HEAD - 1}`);
  if (answer.status !== 206) return null;
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const end = headEnd(bytes);
  return end === null ? null : bytes.slice(0, end);
}

/** Resolves when the buffer is ready for the next operation. */
function settled(buffer: SourceBuffer): Promise<void> {
  if (!buffer.updating) return Promise.resolve();
  return new Promise((resolve) => buffer.addEventListener("updateend", () => resolve(), { once: true }));
}
