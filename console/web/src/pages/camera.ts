import { html } from "lit";
import { api, ApiError } from "../core/api.ts";
import { exposeTiles } from "../core/debug.ts";
import { store } from "../core/session.ts";
import { dayOf, fromLocal, momentText, toLocal } from "../core/time.ts";
import { offsetText } from "../core/text.ts";
import type {
  Camera,
  DayCoverage,
  Device,
  Plan,
  PlansAnswer,
  Schedule,
  ServiceWindow,
  StreamCounters,
} from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { openLive } from "../live/open.ts";
import type { LiveSocket } from "../live/socket.ts";
import { Tile } from "../live/tile.ts";
import { clockFact, liveState, recordingState, streamHealth } from "../ui/camera-health.ts";
import { coverageBar, gapList, legend, shareClass, shareText } from "../ui/coverage-bar.ts";
import { DataPage } from "../ui/data-page.ts";
import { dayPicker } from "../ui/day-picker.ts";
import { confirmed, toast } from "../ui/dialog.ts";
import { field, select } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { editPlans } from "../ui/plan-dialog.ts";
import { planLine } from "../ui/plan-words.ts";
import { requirePurpose } from "../ui/purpose.ts";
import { define } from "../ui/view.ts";
import { go } from "../core/router.ts";
import { CAMERA_ROLES } from "./register.ts";

interface Data {
  camera: Camera;
  device: Device | null;
  coverage: DayCoverage;
  windows: ServiceWindow[];
  plan: Plan;
  schedules: Schedule[];
  /** By stream; empty while the gateway does not answer. */
  counters: Map<string, StreamCounters>;
}

class CameraPage extends DataPage<Data> {
  camera = "";
  protected override refreshMs = 5000;
  #day = "";
  #tile: Tile | null = null;
  #socket: LiveSocket | null = null;
  #ticker: number | undefined;

  override disconnectedCallback(): void {
    this.#stopPreview();
    super.disconnectedCallback();
  }

  protected async load(): Promise<Data> {
    const day = this.#day || dayOf(store.clock.nowUs(), store.zone);
    const [camera, coverage, windows, plan, schedules, counters] = await Promise.all([
      api.get<Camera>(`/api/cameras/${this.camera}`),
      api.get<DayCoverage>(`/api/cameras/${this.camera}/coverage?day=${day}`),
      api.get<{ windows: ServiceWindow[] }>("/api/windows"),
      api.get<Plan>(`/api/cameras/${this.camera}/plan`),
      api.get<{ schedules: Schedule[] }>("/api/schedules"),
      this.#counters(),
    ]);
    return {
      camera,
      counters,
      device: camera.device ?? null,
      plan,
      schedules: schedules.schedules,
      coverage,
      windows: windows.windows.filter((one) => one.retired_us === null),
    };
  }

  async #counters(): Promise<Map<string, StreamCounters>> {
    try {
      const told = await api.get<{ streams: { id: string; counted: StreamCounters | null }[] }>(
        `/api/cameras/${this.camera}/counters`,
      );
      return new Map(told.streams.flatMap((one) => (one.counted ? [[one.id, one.counted] as const] : [])));
    } catch (error) {
      if (error instanceof ApiError) return new Map(); // the page says elsewhere that the gateway is away
      throw error;
    }
  }

  async #preview(camera: Camera): Promise<void> {
    if ((await requirePurpose("live")) === null) return;
    this.#socket = openLive();
    this.#tile = new Tile(this.#socket);
    this.#tile.setQuality("main");
    exposeTiles(() => (this.#tile ? [this.#tile.debug] : []));
    this.#socket.start();
    this.#ticker = window.setInterval(() => this.#tile?.tick(performance.now()), 250);
    this.requestUpdate();
    await this.updateComplete;
    this.querySelector(".preview")?.append(this.#tile.element);
    this.#tile.show(camera);
  }

  #stopPreview(): void {
    window.clearInterval(this.#ticker);
    this.#tile?.destroy();
    this.#socket?.stop();
    this.#tile = null;
    this.#socket = null;
    exposeTiles(null);
    this.requestUpdate();
  }

  protected override view(data: Data) {
    const { camera, coverage, device } = data;
    const manage = store.has("hall_admin");
    const facts = { ...coverage };
    return html`<header class="page-head">
        <a class="crumb" href="/cameras">${t("nav.cameras")}</a><span class="dim">/</span>
        <h1>${camera.name}</h1>
        ${camera.enabled ? "" : html`<em class="flag">${t("cameras.disabled")}</em>`}
        <span class="spring"></span>
        ${manage ? this.#actions(data) : ""}
      </header>
      ${device?.auth_blocked
        ? html`<div class="notice bad" role="alert">
            ${icon("key", 20)}
            <div>
              <strong>${t("camera.auth_blocked")}</strong>
              <p>${t("camera.auth_blocked_fix")}</p>
            </div>
            ${manage && device
              ? html`<button type="button" class="primary" @click=${() => void this.#credentials(device)}>
                  ${t("camera.credentials")}
                </button>`
              : ""}
          </div>`
        : ""}
      <div class="columns">
        <section class="card">
          <header>
            <h2>${t("camera.coverage")}</h2>
            <b class="share ${shareClass(facts)}">${shareText(facts)}</b><span class="spring"></span> ${dayPicker(
              coverage.day,
              dayOf(store.clock.nowUs(), store.zone),
              (day) => {
                this.#day = day;
                void this.refresh();
              },
            )}
          </header>
          ${coverageBar(facts, store.zone, 34)} ${legend(["ok", "pending", "bad", "warn", "quiet", "future"])}
          <h3>${t("coverage.gaps")}</h3>
          ${gapList(facts, store.zone)}
        </section>
        <div class="side">
          ${this.#previewCard(camera)} ${this.#stateCard(data)} ${this.#planCard(data, manage)}
          ${this.#mapCard(data, manage)}
        </div>
      </div>`;
  }

  #actions(data: Data) {
    const device = data.device;
    return html`<button type="button" @click=${() => void this.#rename(data.camera)}>${t("camera.rename")}</button>
      <button type="button" data-action="engine" @click=${() => void this.#reading(data.camera)}>
        ${t("camera.engine")}
      </button>
      ${device
        ? html`<button type="button" data-action="credentials" @click=${() => void this.#credentials(device)}>
              ${t("camera.credentials")}
            </button>
            <button
              type="button"
              data-action="toggle"
              @click=${() =>
                void this.change(
                  () => api.patch(`/api/devices/${device.id}`, { enabled: !device.enabled }),
                  t("do.saved"),
                )}
            >
              ${device.enabled ? t("camera.disable") : t("camera.enable")}
            </button>
            <button type="button" class="danger" @click=${() => void this.#retire(device)}>
              ${t("camera.retire")}
            </button>`
        : ""}`;
  }

  #previewCard(camera: Camera) {
    const allowed = store.has("supervisor", "hall_admin");
    if (!allowed) return "";
    return html`<section class="card preview-card">
      <header>
        <h2>${t("camera.preview")}</h2>
        <span class="spring"></span> ${this.#tile
          ? html`<button type="button" class="ghost" @click=${() => this.#stopPreview()}>
              ${t("camera.stop_preview")}
            </button>`
          : ""}
      </header>
      <div class="preview dark">
        ${this.#tile
          ? ""
          : html`<button
                type="button"
                class="primary"
                data-action="preview"
                ?disabled=${!camera.enabled}
                @click=${() => void this.#preview(camera)}
              >
                ${icon("play", 16)}${t("camera.start_preview")}</button
              ><small>${t("camera.preview_purpose")}</small>`}
      </div>
    </section>`;
  }

  #stateCard({ camera, device, counters }: Data) {
    return html`<section class="card">
      <header><h2>${t("camera.state")}</h2></header>
      <dl class="facts">
        <dt>${t("badge.live")}</dt>
        <dd>${liveState(camera.live)}</dd>
        <dt>${t("badge.recording")}</dt>
        <dd>
          ${recordingState(camera.recording)}${camera.recording.since_us > 0
            ? html`<small>${t("wall.since", { at: momentText(camera.recording.since_us, store.zone) })}</small>`
            : ""}
        </dd>
        ${camera.streams.map(
          (one) =>
            html`<dt>${code("stream", one.role)}</dt>
              <dd>
                ${one.codec.toUpperCase()} ${one.width}×${one.height} · ${one.fps_milli / 1000} fps · ${t("device.gop")}
                ${(one.gop_ms / 1000).toFixed(1)} s
                ${one.recorded ? html`<em class="flag good">${t("badge.recording")}</em>` : ""}
                ${streamHealth(one.seen, counters.get(one.id))}
              </dd>`,
        )}
        ${camera.clock
          ? html`<dt>${t("camera.clock")}</dt>
              <dd data-fact="clock">${clockFact(camera.clock)}</dd>`
          : ""}
        ${device
          ? html` <dt>${t("register.address")}</dt>
              <dd class="num">
                ${device.address}:${device.port} <small>${t("camera.user", { user: device.username })}</small>
              </dd>
              <dt>${t("device.maker")}</dt>
              <dd>${device.manufacturer} ${device.model}</dd>
              <dt>${t("device.serial")}</dt>
              <dd><code>${device.serial}</code></dd>
              ${camera.clock ? "" : this.#registeredClock(device)}`
          : ""}
      </dl>
    </section>`;
  }

  /** The clock as it was at registration; what is measured now says more. */
  #registeredClock(device: Device) {
    const error = device.clock_error_us;
    return html`<dt>${t("device.clock")}</dt>
      <dd>
        ${device.clock_offset_us === null
          ? "—"
          : html`${offsetText(device.clock_offset_us)}${error === null
              ? ""
              : html` <small>± ${Math.round(error / 1000)} ms</small>`}`}
      </dd>`;
  }

  #planCard({ camera, plan, schedules }: Data, manage: boolean) {
    return html`<section class="card" data-card="plan">
      <header>
        <h2>${t("nav.plans")}</h2>
        <span class="spring"></span>${manage
          ? html`<button type="button" class="ghost" data-action="plan" @click=${() => void this.#plan(camera)}>
              ${t("do.edit")}
            </button>`
          : ""}
      </header>
      <dl class="facts">
        <dt>${t("plans.mode")}</dt>
        <dd>${planLine({ plan, windows: camera.windows }, { schedules, classes: [] })}</dd>
        <dt>${t("plan_field.streams")}</dt>
        <dd>${code("stream_policy", plan.streams)}</dd>
        <dt>${t("plans.keeps")}</dt>
        <dd>${plan.keeps_days} ${t("unit.days")}</dd>
        <dt>${t("plan_field.audio")}</dt>
        <dd>${plan.audio ? t("plans.audio_with", { basis: plan.audio_basis }) : t("plans.audio_off")}</dd>
      </dl>
    </section>`;
  }

  async #plan(camera: Camera): Promise<void> {
    const answer = await api.get<PlansAnswer>("/api/plans");
    const rows = answer.plans.filter((one) => one.camera_id === camera.id);
    if (!(await editPlans(rows, { schedules: answer.schedules, classes: answer.retention_classes }))) return;
    toast(t("do.saved"));
    await this.refresh();
  }

  #mapCard(data: Data, manage: boolean) {
    const { camera } = data;
    return html`<section class="card">
      <header>
        <h2>${t("map.windows")}</h2>
        <span class="spring"></span>${manage
          ? html`<button type="button" class="ghost" @click=${() => void this.#map(data)}>
              ${icon("plus", 16)}${t("map.add")}
            </button>`
          : ""}
      </header>
      ${camera.windows.length === 0
        ? html`<p class="hint">${t("map.none_hint")}</p>`
        : html`<table class="table compact">
            <thead>
              <tr>
                <th>${t("map.window")}</th>
                <th>${t("map.role")}</th>
                <th>${t("map.from")}</th>
                <th></th>
              </tr>
            </thead>
            <tbody>
              ${camera.windows.map(
                (one) =>
                  html`<tr>
                    <td>${one.name}</td>
                    <td>${code("camera_role", one.role)}</td>
                    <td class="num">${momentText(one.from_us, store.zone)}</td>
                    <td>
                      ${manage
                        ? html`<button
                            type="button"
                            class="ghost"
                            @click=${() => void this.#unmap(camera, one.map_id, one.name)}
                          >
                            ${t("map.end")}
                          </button>`
                        : ""}
                    </td>
                  </tr>`,
              )}
            </tbody>
          </table>`}
    </section>`;
  }

  async #unmap(camera: Camera, map: string, name: string): Promise<void> {
    if (!(await confirmed(t("map.end"), t("map.end_confirm", { camera: camera.name, window: name }), t("map.end"))))
      return;
    await this.change(() => api.delete(`/api/cameras/${camera.id}/windows/${map}`), t("do.saved"));
  }

  async #map({ camera, windows }: Data): Promise<void> {
    const form = {
      window_id: windows[0]?.id ?? "",
      role: "front",
      from: toLocal(store.clock.nowUs(), store.zone),
    };
    await this.edit({
      title: () => t("map.add"),
      save: () => {
        const from = fromLocal(form.from, store.zone);
        return api.post(`/api/cameras/${camera.id}/windows`, {
          window_id: form.window_id,
          role: form.role,
          ...(Number.isNaN(from) ? {} : { from_us: from }),
        });
      },
      body: () =>
        html`${select(
          t("map.window"),
          "window",
          form.window_id,
          windows.map((w) => ({ value: w.id, text: w.name })),
          (value) => {
            form.window_id = value;
          },
        )}
        ${select(
          t("map.role"),
          "role",
          form.role,
          CAMERA_ROLES.map((role) => ({ value: role, text: code("camera_role", role) })),
          (value) => {
            form.role = value;
          },
        )}
        ${field({
          label: t("map.from"),
          name: "from",
          type: "datetime-local",
          value: form.from,
          hint: t("map.from_hint", { zone: store.zone }),
          change: (value) => {
            form.from = value;
          },
        })}`,
    });
  }

  async #rename(camera: Camera): Promise<void> {
    const form = { name: camera.name };
    await this.edit({
      title: () => t("camera.rename"),
      check: () => (form.name.trim() ? "" : t("rule.name_empty")),
      save: () => api.patch(`/api/cameras/${camera.id}`, { name: form.name.trim() }),
      body: () =>
        field({
          label: t("cameras.name"),
          name: "name",
          value: form.name,
          autofocus: true,
          change: (value) => {
            form.name = value;
          },
        }),
    });
  }

  /** What reads an odd camera, and how; for all its streams. */
  async #reading(camera: Camera): Promise<void> {
    const [stream] = camera.streams;
    const form = { engine: stream?.engine ?? "", transport: stream?.transport || "tcp" };
    const engines = ["", "rtsp", "libav"].map((value) => ({ value, text: code("engine", value || "auto") }));
    const transports = ["tcp", "udp"].map((value) => ({ value, text: value.toUpperCase() }));
    await this.edit({
      title: () => t("camera.engine"),
      save: () => api.patch(`/api/cameras/${camera.id}`, form),
      body: () =>
        html`${select(
          t("camera.engine"),
          "engine",
          form.engine,
          engines,
          (value) => {
            form.engine = value;
          },
          t("camera.engine_hint"),
        )}
        ${select(
          t("camera.transport"),
          "transport",
          form.transport,
          transports,
          (value) => {
            form.transport = value;
          },
          t("camera.transport_hint"),
        )}`,
    });
  }

  async #credentials(device: Device): Promise<void> {
    const form = { username: device.username, password: "" };
    await this.edit(
      {
        title: () => t("camera.credentials"),
        save: () => api.patch(`/api/devices/${device.id}`, { credentials: form }),
        body: () =>
          html`<p class="hint">${t("camera.credentials_hint")}</p>
            ${field({
              label: t("register.username"),
              name: "username",
              value: form.username,
              change: (value) => {
                form.username = value;
              },
            })}
            ${field({
              label: t("register.password"),
              name: "password",
              type: "password",
              autocomplete: "new-password",
              value: form.password,
              change: (value) => {
                form.password = value;
              },
            })}`,
      },
      t("camera.credentials_saved"),
    );
  }

  async #retire(device: Device): Promise<void> {
    if (!(await confirmed(t("camera.retire"), t("camera.retire_confirm", { name: device.name }), t("camera.retire"))))
      return;
    if (await this.change(() => api.delete(`/api/devices/${device.id}`), t("do.saved"))) go("/cameras");
  }
}

define("page-camera", CameraPage);
