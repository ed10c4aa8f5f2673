import { html, render } from "lit";
import { api, ApiError } from "../core/api.ts";
import { exposeReview } from "../core/debug.ts";
import { listenKeys } from "../core/keys.ts";
import { store } from "../core/session.ts";
import { dayOf, momentText, preciseText } from "../core/time.ts";
import type { VisitTimeline } from "../core/types.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { ScreenLane } from "../review/filmstrip.ts";
import { CameraLane } from "../review/lane.ts";
import { MasterClock, SPEEDS } from "../review/master.ts";
import { Strip, type Row } from "../review/strip.ts";
import { neighbour } from "../review/timeline.ts";
import { dialogOpen } from "../ui/dialog.ts";
import { stateText } from "../ui/coverage-bar.ts";
import { icon } from "../ui/icons.ts";
import { askPurpose, requirePurpose } from "../ui/purpose.ts";
import { define, View } from "../ui/view.ts";

const MOST_CAMERAS = 4;
const REFRESH_MS = 15_000;
const HOLD_MOST_MS = 10_000;

class VisitPage extends View {
  case = "";
  visit = "";
  #timeline: VisitTimeline | null = null;
  #fault = "";
  #declined = false;
  #master: MasterClock | null = null;
  #cameras: CameraLane[] = [];
  #screens: ScreenLane[] = [];
  #active = new Set<string>();
  #strip: Strip | null = null;
  #frame = 0;
  #refresh: number | undefined;
  #heldSinceMs = 0;
  #large: string | null = null;
  #stopKeys: () => void = () => undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stopKeys = listenKeys(this.#keys(), () => !dialogOpen() && this.#master !== null);
    void this.#begin();
  }

  override disconnectedCallback(): void {
    this.#stopKeys();
    cancelAnimationFrame(this.#frame);
    window.clearInterval(this.#refresh);
    for (const lane of this.#cameras) lane.close();
    for (const lane of this.#screens) lane.close();
    exposeReview(null);
    super.disconnectedCallback();
  }

  async #begin(): Promise<void> {
    this.#declined = (await requirePurpose("archive")) === null;
    if (this.#declined) {
      this.requestUpdate();
      return;
    }
    try {
      this.#start(await this.#ask());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#fault = errorText(error.code, error.fields);
      this.requestUpdate();
    }
  }

  #ask(): Promise<VisitTimeline> {
    return api.get<VisitTimeline>(`/api/visits/${this.visit}/timeline`, { footage: true });
  }

  #start(timeline: VisitTimeline): void {
    if (!this.isConnected) return;
    this.#timeline = timeline;
    const master = new MasterClock(timeline.t0_us, timeline.t1_us);
    this.#master = master;
    master.addEventListener("change", () => this.requestUpdate());
    this.#cameras = timeline.cameras.map((one) => new CameraLane(one, master));
    this.#screens = timeline.screens.map((one) => new ScreenLane(one, master));
    const first = this.#cameras.filter((one) => one.segments.length > 0).slice(0, MOST_CAMERAS);
    this.#active = new Set(first.map((one) => one.camera.camera_id));
    for (const lane of first) lane.open();
    this.#strip = new Strip(master, store.zone);
    exposeReview(() => this.#debug());
    if (timeline.visit.t1_us === null) this.#refresh = window.setInterval(() => void this.#grow(), REFRESH_MS);
    this.requestUpdate();
    this.#frame = requestAnimationFrame(() => this.#step());
  }

  /** An open visit: take what came since. */
  async #grow(): Promise<void> {
    if (document.hidden) return;
    const fresh = await this.#ask().catch(() => null);
    if (!fresh || !this.#master) return;
    this.#timeline = fresh;
    this.#master.extend(fresh.t1_us);
    for (const lane of this.#cameras) {
      const same = fresh.cameras.find((one) => one.camera_id === lane.camera.camera_id);
      if (same) lane.extend(same);
    }
    for (const lane of this.#screens) {
      const same = fresh.screens.find((one) => one.monitor_id === lane.screen.monitor_id);
      if (same) lane.extend(same);
    }
    if (fresh.visit.t1_us !== null) window.clearInterval(this.#refresh);
    this.requestUpdate();
  }

  #step(): void {
    this.#frame = requestAnimationFrame(() => this.#step());
    const master = this.#master;
    if (!master) return;
    master.tick();
    const shown = this.#cameras.filter((one) => this.#active.has(one.camera.camera_id));
    for (const lane of shown) lane.step();
    for (const lane of this.#screens) lane.step();
    this.#holdFor(shown.some((lane) => lane.waiting) || this.#screens.some((lane) => lane.waiting));
    this.#place();
    this.#strip?.draw();
    this.#tell(master);
  }

  /** All lanes wait for the slowest, but not for ever. */
  #holdFor(waiting: boolean): void {
    const now = performance.now();
    if (!waiting) this.#heldSinceMs = 0;
    else if (this.#heldSinceMs === 0) this.#heldSinceMs = now;
    this.#master?.hold(waiting && now - this.#heldSinceMs < HOLD_MOST_MS);
  }

  /** Puts canvases and videos, which must not be drawn again, into the frames that the template made. */
  #place(): void {
    const strip = this.#strip;
    const host = this.querySelector(".strip-host");
    if (strip && host && strip.canvas.parentElement !== host) host.append(strip.canvas, strip.tip);
    for (const lane of this.#cameras) this.#put(`camera-${lane.camera.camera_id}`, lane.video);
    for (const lane of this.#screens) this.#put(`screen-${lane.screen.monitor_id}`, lane.canvas);
  }

  #put(id: string, element: HTMLElement): void {
    const frame = this.querySelector(`[data-lane="${id}"] .pane-media`);
    if (frame && element.parentElement !== frame) frame.append(element);
  }

  #tell(master: MasterClock): void {
    const clock = this.querySelector("[data-clock]");
    const text = preciseText(master.nowUs, store.zone);
    if (clock && clock.textContent !== text) clock.textContent = text;
    for (const lane of this.#cameras) this.#note(`camera-${lane.camera.camera_id}`, lane.state, cameraNote(lane));
    for (const lane of this.#screens) this.#note(`screen-${lane.screen.monitor_id}`, lane.state, screenNote(lane));
  }

  #note(id: string, state: string, note: { title: string; detail: string; foot: string }): void {
    const pane = this.querySelector<HTMLElement>(`[data-lane="${id}"]`);
    if (!pane) return;
    pane.dataset["state"] = state;
    const cover = pane.querySelector<HTMLElement>(".pane-cover");
    if (cover) {
      const body =
        state === "picture"
          ? html``
          : html`${state === "loading" ? html`<i class="spinner"></i>` : icon("problem", 24)}
              <p>${note.title}</p>
              <small>${note.detail}</small>`;
      render(body, cover);
    }
    const foot = pane.querySelector("[data-foot]");
    if (foot && foot.textContent !== note.foot) foot.textContent = note.foot;
  }

  #debug(): unknown {
    const master = this.#master;
    if (!master) return null;
    return {
      positionUs: master.nowUs,
      playing: master.playing,
      running: master.running,
      rate: master.rate,
      t0Us: master.t0,
      t1Us: master.t1,
      cameras: this.#cameras.map((lane) => ({
        camera: lane.camera.camera_id,
        name: lane.camera.name,
        active: this.#active.has(lane.camera.camera_id),
        state: lane.state,
        cause: lane.cause,
        how: lane.choice?.how ?? null,
        codec: lane.choice?.stream.codec ?? null,
        frames: lane.frames,
        presenting: lane.presenting,
        wallUs: lane.state === "picture" ? lane.wallUs : null,
        segments: lane.segments.length,
        audible: lane.audible,
        sound: lane.audio ? { at: lane.audio.currentTime, paused: lane.audio.paused } : null,
      })),
      screens: this.#screens.map((lane) => ({
        monitor: lane.screen.monitor_id,
        name: lane.screen.workstation,
        state: lane.state,
        cause: lane.cause,
        presenting: lane.presenting,
        pictureUs: lane.pictureUs,
        pictures: lane.screen.pictures.length,
      })),
    };
  }

  #toggle(lane: CameraLane): void {
    const id = lane.camera.camera_id;
    if (this.#active.delete(id)) {
      lane.close();
      if (this.#large === id) this.#large = null;
    } else {
      const oldest = [...this.#active][0];
      if (this.#active.size >= MOST_CAMERAS && oldest) {
        this.#active.delete(oldest);
        this.#cameras.find((one) => one.camera.camera_id === oldest)?.close();
      }
      this.#active.add(id);
      lane.open();
    }
    this.requestUpdate();
  }

  /** One lane at most is heard. */
  #hear(lane: CameraLane): void {
    const on = !lane.sounding;
    for (const one of this.#cameras) one.setSound(on && one === lane);
    this.requestUpdate();
  }

  #frameStep(direction: -1 | 1): void {
    const master = this.#master;
    if (!master) return;
    master.pause();
    const lane = this.#cameras.find((one) => this.#active.has(one.camera.camera_id) && one.state === "picture");
    const interval = (lane?.interval.seconds ?? 0.04) * 1_000_000;
    const from = lane?.wallUs ?? master.nowUs;
    // Half an interval into the wanted frame, so that rounding cannot fall into the one before.
    master.seek(from + direction * interval + interval / 2);
  }

  #event(direction: -1 | 1): void {
    const master = this.#master;
    if (!master) return;
    const times = [master.t0, ...(this.#timeline?.steps ?? []).map((one) => one.event_us)];
    const to = neighbour(times, master.nowUs, direction);
    if (to !== null) master.seek(to);
  }

  #keys() {
    const master = (): MasterClock => this.#master as MasterClock;
    const by = (seconds: number) => (): void => master().seek(master().nowUs + seconds * 1_000_000);
    return {
      " ": () => master().toggle(),
      k: () => master().toggle(),
      j: () => master().slower(),
      l: () => master().faster(),
      arrowleft: by(-5),
      arrowright: by(5),
      ",": () => this.#frameStep(-1),
      ".": () => this.#frameStep(1),
      "[": () => this.#event(-1),
      "]": () => this.#event(1),
      "+": () => this.#strip?.zoom(1.5),
      "=": () => this.#strip?.zoom(1.5),
      "-": () => this.#strip?.zoom(1 / 1.5),
      "0": () => this.#strip?.fit(),
      home: () => master().seek(master().t0),
      end: () => master().seek(master().t1),
      escape: () => {
        this.#large = null;
        this.requestUpdate();
      },
    };
  }

  protected override render() {
    if (this.#declined) return this.#purposeNeeded();
    if (this.#fault)
      return html`<div class="empty-state">
        ${icon("problem", 36)}
        <h2>${this.#fault}</h2>
        <a href="/cases/${this.case}">${t("do.back")}</a>
      </div>`;
    const timeline = this.#timeline;
    const master = this.#master;
    if (!timeline || !master)
      return html`<div class="empty-state">
        <i class="spinner"></i>
        <p>${t("do.loading")}</p>
      </div>`;
    return html`<div class="review">
      ${this.#head(timeline)}${this.#panes(timeline)}${this.#transport(master)}${this.#lanes(timeline)}
    </div>`;
  }

  #purposeNeeded() {
    const again = async (): Promise<void> => {
      if (await askPurpose("archive")) await this.#begin();
    };
    return html`<div class="empty-state">
      ${icon("purpose", 36)}
      <h2>${t("review.purpose_needed")}</h2>
      <p>${t("review.purpose_why")}</p>
      <button type="button" class="primary" @click=${() => void again()}>${t("purpose.give")}</button>
    </div>`;
  }

  #head(timeline: VisitTimeline) {
    const { visit } = timeline;
    return html`<header class="page-head">
      <a class="crumb" href="/cases">${t("nav.cases")}</a><span class="dim">/</span
      ><a class="crumb num" href="/cases/${timeline.case.id}">${timeline.case.number}</a><span class="dim">/</span>
      <h1>${visit.window.name}</h1>
      <span class="dim num">${momentText(timeline.t0_us, store.zone)}</span>
      <span class="tag">${timeline.case.source.name}</span
      ><span class="tag">${visit.staff ? t("case.staff", { staff: visit.staff }) : t("case.staff_unknown")}</span>
      <span class="tag"
        >${t("case.method", {
          opened: code("visit_method", visit.opened_by),
          closed: code("visit_method", visit.closed_by),
        })}</span
      >
      ${visit.ambiguous ? html`<em class="flag">${t("case.ambiguous")}</em>` : ""}
    </header>`;
  }

  #panes(timeline: VisitTimeline) {
    const shown = this.#cameras.filter((one) => this.#active.has(one.camera.camera_id));
    if (timeline.cameras.length + timeline.screens.length === 0) {
      return html`<div class="empty-state">
        ${icon("camera", 36)}
        <h2>${t("review.no_lanes")}</h2>
        <p>${t("review.no_lanes_hint")}</p>
      </div>`;
    }
    const count = Math.min(9, Math.max(1, shown.length + this.#screens.length));
    return html`<section class="panes p${count} ${this.#large ? "one-large" : ""}">
      ${this.#screens.map((lane) =>
        this.#pane(`screen-${lane.screen.monitor_id}`, lane.screen.workstation, lane.screen.monitor, ""),
      )}
      ${shown.map((lane) =>
        this.#pane(
          `camera-${lane.camera.camera_id}`,
          lane.camera.name,
          code("camera_role", lane.camera.role),
          howText(lane),
          lane.audible ? this.#soundButton(lane) : "",
        ),
      )}
    </section>`;
  }

  #soundButton(lane: CameraLane) {
    const title = lane.sounding ? t("review.sound_off") : t("review.sound_on");
    return html`<button
      type="button"
      class="ghost square sound"
      data-action="sound"
      aria-pressed=${lane.sounding}
      aria-label=${title}
      title=${title}
      @click=${() => this.#hear(lane)}
      @dblclick=${(event: Event) => event.stopPropagation()}
    >
      ${icon(lane.sounding ? "sound" : "muted", 16)}
    </button>`;
  }

  #pane(id: string, name: string, what: string, how: string, control: unknown = "") {
    return html`<figure
      class="pane ${this.#large === id ? "large" : ""}"
      data-lane=${id}
      @dblclick=${() => {
        this.#large = this.#large === id ? null : id;
        this.requestUpdate();
      }}
    >
      <div class="pane-media"></div>
      <div class="pane-cover"></div>
      <figcaption>
        <b>${name}</b><span>${what}</span>${how ? html`<em>${how}</em>` : ""}<span class="spring"></span
        ><span class="num" data-foot></span>${control}
      </figcaption>
    </figure>`;
  }

  #transport(master: MasterClock) {
    const button = (name: string, title: string, act: () => void, key: string) =>
      html`<button type="button" class="ghost square" title="${title} (${key})" aria-label=${title} @click=${act}>
        ${icon(name, 18)}
      </button>`;
    return html`<div class="transport">
      <div class="review-clock" title=${t("review.position")}>
        <small>${dayOf(master.nowUs, store.zone)}</small><b class="num" data-clock></b>
      </div>
      ${button("previous", t("review.event_back"), () => this.#event(-1), "[")}
      ${button("stepback", t("review.frame_back"), () => this.#frameStep(-1), ",")}
      <button
        type="button"
        class="primary play"
        data-action="play"
        aria-pressed=${master.playing}
        title="${master.playing ? t("review.pause") : t("review.play")} (Space)"
        @click=${() => master.toggle()}
      >
        ${icon(master.playing ? "pause" : "play", 20)}${master.playing ? t("review.pause") : t("review.play")}
      </button>
      ${button("stepforward", t("review.frame_on"), () => this.#frameStep(1), ".")}
      ${button("next", t("review.event_on"), () => this.#event(1), "]")}
      <div class="segmented speeds" role="group" aria-label=${t("review.speed")}>
        ${SPEEDS.map(
          (one) =>
            html`<button
              type="button"
              data-speed=${one}
              aria-pressed=${master.rate === one}
              @click=${() => master.setRate(one)}
            >
              ${one}×
            </button>`,
        )}
      </div>
      ${master.playing && !master.running
        ? html`<span class="hint"><i class="spinner small"></i> ${t("review.stalled")}</span>`
        : ""}
      <span class="spring"></span>
      ${button("minus", t("review.zoom_out"), () => this.#strip?.zoom(1 / 1.5), "−")}
      ${button("plus", t("review.zoom_in"), () => this.#strip?.zoom(1.5), "+")}
      <button type="button" class="ghost" @click=${() => this.#strip?.fit()}>${t("review.fit")}<kbd>0</kbd></button>
    </div>`;
  }

  #lanes(timeline: VisitTimeline) {
    const rows: Row[] = [
      { kind: "steps", coverage: [] },
      ...this.#cameras.map(
        (lane): Row => ({
          kind: "camera",
          coverage: lane.camera.coverage,
          dimmed: !this.#active.has(lane.camera.camera_id),
        }),
      ),
      ...this.#screens.map(
        (lane): Row => ({ kind: "screen", coverage: lane.screen.coverage, pictures: lane.screen.pictures }),
      ),
    ];
    this.#strip?.setRows(rows, timeline.steps);
    return html`<section class="lanes">
      <div class="lane-names">
        <div class="lane-ruler dim">${t("review.timeline")}</div>
        <div class="lane-name">${icon("case", 16)}<span>${t("review.steps")}</span></div>
        ${this.#cameras.map((lane) => {
          const on = this.#active.has(lane.camera.camera_id);
          return html`<button
            type="button"
            class="lane-name"
            aria-pressed=${on}
            title=${on ? t("review.hide") : t("review.show")}
            ?disabled=${lane.segments.length === 0}
            @click=${() => this.#toggle(lane)}
          >
            ${icon("camera", 16)}<span>${lane.camera.name}</span
            ><small
              >${lane.segments.length === 0 ? t("review.no_segments") : code("camera_role", lane.camera.role)}</small
            >
          </button>`;
        })}
        ${this.#screens.map(
          (lane) =>
            html`<div class="lane-name">
              ${icon("workstation", 16)}<span>${lane.screen.workstation}</span><small>${lane.screen.monitor}</small>
            </div>`,
        )}
      </div>
      <div class="strip-host"></div>
    </section>`;
  }
}

function howText(lane: CameraLane): string {
  if (lane.choice?.how === "substream") return t("review.substream");
  return lane.choice?.how === "converted" ? t("review.converted") : "";
}

function cameraNote(lane: CameraLane): { title: string; detail: string; foot: string } {
  const foot = lane.state === "picture" && lane.wallUs !== null ? preciseText(lane.wallUs, store.zone) : "";
  switch (lane.state) {
    case "gap":
      return { title: t("review.gap"), detail: stateText(lane.cause), foot };
    case "pending":
      return { title: t("review.pending"), detail: t("review.pending_hint"), foot };
    case "failed":
      return {
        title:
          lane.cause === "unplayable"
            ? t("review.unplayable", { codec: lane.choice?.stream.codec.toUpperCase() ?? "" })
            : errorText(lane.cause),
        detail: "",
        foot,
      };
    case "none":
      return { title: t("review.no_segments"), detail: lane.cause ? stateText(lane.cause) : "", foot };
    default:
      return { title: t("review.loading"), detail: "", foot };
  }
}

function screenNote(lane: ScreenLane): { title: string; detail: string; foot: string } {
  const foot = lane.pictureUs === null ? "" : t("review.picture_at", { at: preciseText(lane.pictureUs, store.zone) });
  if (lane.state === "pending") return { title: t("review.pending"), detail: t("review.screen_pending_hint"), foot };
  if (lane.state === "gap")
    return { title: t("review.no_picture"), detail: lane.cause === "no_picture" ? "" : stateText(lane.cause), foot };
  if (lane.state === "failed") return { title: errorText(lane.cause), detail: "", foot };
  return { title: t("review.loading"), detail: "", foot };
}

define("page-visit", VisitPage);
