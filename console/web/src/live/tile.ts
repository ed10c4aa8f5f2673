// One tile of the wall: picture, two badges (live is not recording) and the cause in words when there is no picture.
import { html, render } from "lit";
import { momentText, spanText } from "../core/time.ts";
import { store } from "../core/session.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { windowsText } from "../core/windows.ts";
import { icon } from "../ui/icons.ts";
import { canPlay, LivePlayer } from "./player.ts";
import type { Control, Media } from "./protocol.ts";
import type { LiveSocket, Subscriber } from "./socket.ts";
import { tileLook, type TileFacts, type TileLook } from "./status.ts";

export interface TileCamera {
  id: string;
  name: string;
  windows: { number: number; name: string; role: string }[];
  streams: { id: string; recorded: boolean }[];
  recording: { state: string };
}

export type Quality = "main" | "sub" | "auto";

export interface TileDebug {
  camera: string | null;
  name: string;
  state: string;
  cause: string;
  recording: string;
  frames: number;
  wallUs: number;
  serverUs: number;
  role: string;
  derived: boolean;
  report: LivePlayer["report"];
}

export class Tile implements Subscriber {
  readonly element = document.createElement("div");
  readonly #video = document.createElement("video");
  readonly #overlay = document.createElement("div");
  readonly #player: LivePlayer;
  readonly #socket: LiveSocket;
  #camera: TileCamera | null = null;
  #channel: number | null = null;
  #quality: Quality = "sub";
  #suspended = false;
  #stats = false;
  #role = "";
  #derived = false;
  #stream = "";
  #everLinked = false;
  #playable = true;
  #refusal = "";
  #framesAtShow = 0;
  #state = { live: "connecting", cause: "", sinceUs: 0, recording: "", recordingSinceUs: 0 };

  constructor(socket: LiveSocket) {
    this.#socket = socket;
    this.element.className = "tile";
    this.element.tabIndex = 0;
    this.#overlay.className = "tile-overlay";
    this.element.append(this.#video, this.#overlay);
    this.#player = new LivePlayer(this.#video);
    this.#player.onStuck = () => this.#again();
    this.draw();
  }

  get camera(): TileCamera | null {
    return this.#camera;
  }

  get look(): TileLook {
    return tileLook(this.#facts());
  }

  get debug(): TileDebug {
    const report = this.#player.report;
    const look = this.look;
    return {
      camera: this.#camera?.id ?? null,
      name: this.#camera?.name ?? "",
      state: look.live,
      cause: look.cause,
      recording: look.recording,
      frames: report.frames,
      wallUs: report.mediaTimeUs,
      serverUs: store.clock.nowUs(),
      role: this.#role,
      derived: this.#derived,
      report,
    };
  }

  show(camera: TileCamera | null): void {
    if (camera?.id === this.#camera?.id) {
      this.#camera = camera;
      return;
    }
    this.#leave();
    this.#player.reset();
    this.#camera = camera;
    this.#framesAtShow = this.#player.report.frames;
    this.#forget();
    if (camera && !this.#suspended) this.#join();
    this.draw();
  }

  setQuality(quality: Quality): void {
    if (quality === this.#quality) return;
    this.#quality = quality;
    if (this.#channel !== null) this.#again();
  }

  showStats(on: boolean): void {
    this.#stats = on;
    this.draw();
  }

  /** Nobody looks (the tab is hidden): leave the stream, keep the last picture. */
  suspend(): void {
    this.#suspended = true;
    this.#leave();
  }

  resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#player.reset();
    if (this.#camera) this.#join();
  }

  /** Four times a second. */
  tick(nowMs: number): void {
    this.#player.tick(nowMs);
    this.draw();
  }

  destroy(): void {
    this.#leave();
    this.#player.close();
    this.element.remove();
  }

  request(): { camera: string; quality: Quality; keysOnly: boolean } {
    return { camera: this.#camera?.id ?? "", quality: this.#quality, keysOnly: false };
  }

  control(message: Control): void {
    if (message.op === "info") {
      this.#role = message.role;
      this.#derived = message.derived;
      this.#stream = message.stream;
      this.#refusal = "";
      this.#playable = canPlay(message.codec);
      this.#player.prepare(message.codec, message.width, message.height);
    } else if (message.op === "state") {
      this.#state = {
        live: message.live,
        cause: message.cause,
        sinceUs: message.since_us,
        recording: message.recording,
        recordingSinceUs: message.recording_since_us,
      };
    } else if (message.op === "dropped") this.#player.noteDropped(message.frames);
    else if (message.op === "error") this.#refusal = message.code || "not_permitted";
    this.draw();
  }

  media(message: Media): void {
    if (!this.#playable) return;
    if (message.kind === "init") this.#player.init(message.payload);
    else this.#player.fragment(message.payload);
  }

  link(up: boolean): void {
    if (up) {
      this.#everLinked = true;
      this.#refusal = "";
      this.#player.reset();
    }
    this.draw();
  }

  #join(): void {
    if (this.#channel !== null || !this.#camera) return;
    this.#channel = this.#socket.subscribe(this);
    if (this.#socket.up) this.#everLinked = true;
  }

  #leave(): void {
    if (this.#channel === null) return;
    this.#socket.unsubscribe(this.#channel);
    this.#channel = null;
  }

  #again(): void {
    if (this.#suspended || !this.#camera) return;
    this.#leave();
    this.#join();
  }

  #forget(): void {
    this.#role = "";
    this.#derived = false;
    this.#refusal = "";
    this.#playable = true;
    this.#state = { live: "connecting", cause: "", sinceUs: 0, recording: "", recordingSinceUs: 0 };
  }

  #facts(): TileFacts {
    const last = this.#player.lastFrameMs;
    const seen = this.#player.report.frames > this.#framesAtShow;
    return {
      camera: this.#camera !== null,
      linkUp: this.#socket.up,
      everLinked: this.#everLinked,
      live: this.#state.live,
      cause: this.#state.cause,
      sinceUs: this.#state.sinceUs,
      recording: this.#recording(),
      recordingSinceUs: this.#state.recordingSinceUs,
      refusal: this.#refusal,
      codecPlayable: this.#playable,
      framesSeen: seen,
      frameAgeMs: seen && last > 0 ? performance.now() - last : Number.POSITIVE_INFINITY,
    };
  }

  /** Whether the camera is recorded: the stream's own word, or the list's when this stream is not the recorded one. */
  #recording(): string {
    const shown = this.#camera?.streams.find((one) => one.id === this.#stream);
    if (this.#camera && shown && !shown.recorded) return this.#camera.recording.state;
    return this.#state.recording;
  }

  draw(): void {
    const facts = this.#facts();
    const look = tileLook(facts);
    this.element.dataset["live"] = look.live;
    this.element.dataset["camera"] = this.#camera?.id ?? "";
    this.element.classList.toggle("grey", look.grey);
    const name = this.#camera ? this.#camera.name : t("wall.empty_tile");
    this.element.setAttribute("aria-label", `${name} ${code("live", look.live)}`);
    render(this.#camera ? this.#overlayFor(look, facts) : this.#emptyOverlay(), this.#overlay);
  }

  #emptyOverlay() {
    return html`<div class="tile-cover empty">
      ${icon("plus", 28)}
      <p>${t("wall.empty_tile")}</p>
      <small>${t("wall.empty_hint")}</small>
    </div>`;
  }

  #overlayFor(look: TileLook, facts: TileFacts) {
    const windows = windowsLabel(this.#camera?.windows ?? []);
    return html`
      <div class="tile-head">
        <span class="tile-name">${this.#camera?.name}</span>
        <span class="tile-windows">${windows}</span>
        <span class="spring"></span>
        ${this.#derived
          ? html`<span class="badge derived" data-badge="derived" title=${t("badge.derived_why")}
              >${t("badge.derived")}</span
            >`
          : ""}
        <span class="badge live-${look.live}" data-badge="live"
          ><i class="dot"></i>${t("badge.live")}${look.live === "live"
            ? ""
            : html`<b>${code("live", look.live)}</b>`}</span
        >
        <span class="badge rec-${recordingLook(look.recording)}" data-badge="recording"
          ><i class="dot"></i>${t("badge.recording")}${look.recording === "recorded"
            ? ""
            : html`<b>${look.recording ? code("gap", look.recording) : "—"}</b>`}</span
        >
      </div>
      ${look.covered ? this.#cover(look) : look.live === "live" ? "" : this.#ageNote(look, facts)}
      ${this.#stats && !look.covered ? this.#statsBox() : ""}
    `;
  }

  #cover(look: TileLook) {
    const glyph =
      look.live === "connecting"
        ? html`<i class="spinner"></i>`
        : icon(look.live === "no_permission" ? "key" : "problem", 26);
    return html`<div class="tile-cover">
      ${glyph}
      <p>${code("live", look.live)}</p>
      ${look.cause ? html`<small>${causeText(look.cause)}</small>` : ""}
      ${look.live === "offline" && look.sinceUs > 0
        ? html`<small>${t("wall.since", { at: momentText(look.sinceUs, store.zone) })}</small>`
        : ""}
    </div>`;
  }

  #ageNote(look: TileLook, facts: TileFacts) {
    const cause = look.cause ? causeText(look.cause) : code("live", look.live);
    return html`<div class="tile-age" role="status">
      <b>${cause}</b> <span>${t("wall.frozen_for", { age: spanText(facts.frameAgeMs * 1000) })}</span>
    </div>`;
  }

  #statsBox() {
    const r = this.#player.report;
    const late =
      r.mediaTimeUs > 0 && store.clock.known ? (store.clock.nowUs() - this.#video.currentTime * 1_000_000) / 1000 : 0;
    return html`<dl class="tile-stats">
      <dt>${t("stats.stream")}</dt>
      <dd>${this.#role ? code("stream", this.#role) : "—"} ${r.width}×${r.height}</dd>
      <dt>${t("stats.codec")}</dt>
      <dd>${r.codec || "—"}</dd>
      <dt>${t("stats.behind")}</dt>
      <dd>${Math.round(r.behind * 1000)} ms · ${t("stats.target")} ${Math.round(r.target * 1000)}</dd>
      <dt>${t("stats.latency")}</dt>
      <dd>${Math.round(late)} ms</dd>
      <dt>${t("stats.rate")}</dt>
      <dd>×${r.rate.toFixed(2)}</dd>
      <dt>${t("stats.frames")}</dt>
      <dd>${r.frames}</dd>
      <dt>${t("stats.faults")}</dt>
      <dd>${r.dropped} / ${r.waits} / ${r.seeks} / ${r.rebuilds}</dd>
      <dt>${t("stats.bytes")}</dt>
      <dd>${(r.bytes / 1048576).toFixed(1)} MB</dd>
    </dl>`;
  }
}

/** How the recording badge looks: only a fault has the alarm's colour. */
function recordingLook(recording: string): string {
  if (recording === "recorded") return "on";
  if (recording === "plan") return "planned";
  return recording ? "off" : "unknown";
}

/** Which windows a camera sees, short enough for a tile. */
export function windowsLabel(windows: readonly { number: number; name: string }[]): string {
  const text = windowsText(windows);
  return windows.length > 3 ? t("window.several", { runs: text }) : text;
}

/** A cause in words: a gap reason, a device fault or an error code. */
export function causeText(cause: string): string {
  for (const list of ["cause", "gap", "fault"]) {
    const text = code(list, cause);
    if (text !== cause) return text;
  }
  return errorText(cause);
}
