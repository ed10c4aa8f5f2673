import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { momentText } from "../core/time.ts";
import type { Camera, Device, MapEntry, ServiceWindow } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { windowsLabel } from "../live/tile.ts";
import { DataPage } from "../ui/data-page.ts";
import { toast } from "../ui/dialog.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";
import { clockWords } from "../core/camera-clock.ts";
import { cameraClockText, liveState, measuredText, recordingState } from "../ui/camera-health.ts";
import { discover, registerByAddress } from "./register.ts";

interface Data {
  cameras: Camera[];
  devices: Map<string, Device>;
  windows: ServiceWindow[];
}

class CamerasPage extends DataPage<Data> {
  protected override refreshMs = 5000;
  #filter = "";
  #only = "all";

  protected async load(): Promise<Data> {
    const [cameras, devices, windows] = await Promise.all([
      api.get<{ cameras: Camera[] }>("/api/cameras"),
      api.get<{ devices: Device[] }>("/api/devices"),
      api.get<{ windows: ServiceWindow[] }>("/api/windows"),
    ]);
    return {
      cameras: cameras.cameras,
      devices: new Map(devices.devices.map((one) => [one.id, one])),
      windows: windows.windows.filter((one) => one.retired_us === null),
    };
  }

  async #register(): Promise<void> {
    if (!(await registerByAddress(this.data?.windows ?? []))) return;
    toast(t("register.done"));
    await this.refresh();
  }

  async #discover(): Promise<void> {
    if (await discover()) toast(t("register.done"));
    await this.refresh();
  }

  #shown(data: Data): Camera[] {
    const wanted = this.#filter.trim().toLowerCase();
    return data.cameras.filter((one) => {
      const device = data.devices.get(one.device_id);
      const text = `${one.name} ${device?.address ?? ""} ${device?.serial ?? ""} ${one.windows.map((w) => w.name).join(" ")}`;
      if (wanted && !text.toLowerCase().includes(wanted)) return false;
      if (this.#only === "offline") return one.enabled && one.live.state !== "live" && one.live.cause !== "plan";
      if (this.#only === "unrecorded") return one.enabled && !["recorded", "plan"].includes(one.recording.state);
      return this.#only === "all" || !one.enabled;
    });
  }

  protected override view(data: Data) {
    const shown = this.#shown(data);
    const manage = store.has("hall_admin");
    return html`<header class="page-head">
        <h1>${t("nav.cameras")}</h1>
        <span class="count">${data.cameras.length}</span>
        <span class="spring"></span>
        <label class="search"
          >${icon("search", 16)}<input
            type="search"
            placeholder=${t("cameras.search")}
            .value=${this.#filter}
            @input=${(event: InputEvent) => {
              this.#filter = (event.target as HTMLInputElement).value;
              this.requestUpdate();
            }}
        /></label>
        <div class="segmented">
          ${["all", "offline", "unrecorded", "disabled"].map(
            (one) =>
              html`<button
                type="button"
                aria-pressed=${this.#only === one}
                @click=${() => {
                  this.#only = one;
                  this.requestUpdate();
                }}
              >
                ${t(`cameras.only_${one}`)}
              </button>`,
          )}
        </div>
        ${manage
          ? html`<button type="button" data-action="discover" @click=${() => void this.#discover()}>
                ${icon("scan", 16)}${t("cameras.discover")}
              </button>
              <button type="button" class="primary" data-action="add-camera" @click=${() => void this.#register()}>
                ${icon("plus", 16)}${t("cameras.register")}
              </button>`
          : ""}
      </header>
      ${data.cameras.length === 0
        ? this.#empty(manage)
        : shown.length === 0
          ? html`<div class="empty-state"><p>${t("do.nothing_found")}</p></div>`
          : this.#table(shown, data)}`;
  }

  #empty(manage: boolean) {
    return html`<div class="empty-state">
      ${icon("camera", 40)}
      <h2>${t("cameras.none")}</h2>
      <p>${manage ? t("cameras.none_hint") : t("cameras.none_ask")}</p>
    </div>`;
  }

  #table(shown: Camera[], data: Data) {
    return html`<div class="card flush">
      <table class="table rows">
        <thead>
          <tr>
            <th>${t("cameras.name")}</th>
            <th>${t("badge.live")}</th>
            <th>${t("badge.recording")}</th>
            <th>${t("map.windows")}</th>
            <th>${t("cameras.streams")}</th>
            <th>${t("register.address")}</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map((one) => this.#row(one, data.devices.get(one.device_id)))}
        </tbody>
      </table>
    </div>`;
  }

  #row(one: Camera, device: Device | undefined) {
    const since = (us: number) =>
      us > 0 ? html`<small>${t("wall.since", { at: momentText(us, store.zone) })}</small>` : "";
    return html`<tr class=${one.enabled ? "" : "muted"} data-camera=${one.id}>
      <td>
        <a class="strong" href="/cameras/${one.id}">${one.name}</a>${one.enabled
          ? ""
          : html`<em class="flag">${t("cameras.disabled")}</em>`}${device?.auth_blocked
          ? html`<em class="flag bad">${t("cameras.auth_blocked")}</em>`
          : ""}${one.clock && clockWords(one.clock.offset_us, one.clock.error_us).off
          ? html`<em class="flag" data-flag="clock">${cameraClockText(one.clock)}</em>`
          : ""}
      </td>
      <td>
        ${liveState(one.live)}${one.live.state === "live" || one.live.cause === "plan" ? "" : since(one.live.since_us)}
      </td>
      <td data-recording=${one.recording.state}>
        ${recordingState(one.recording)}${one.recording.state === "recorded" ? "" : since(one.recording.since_us)}
      </td>
      <td>
        ${one.windows.length === 0
          ? html`<span class="dim">${t("map.none")}</span>`
          : rolesOf(one).map(
              ([role, windows]) =>
                html`<span class="tag">${windowsLabel(windows)}<i>${code("camera_role", role)}</i></span>`,
            )}
      </td>
      <td class="dim">
        ${one.streams.map(
          (s) =>
            html`<div class="num">${code("stream", s.role)} ${s.codec.toUpperCase()} ${s.width}×${s.height}</div>
              ${s.seen ? html`<small class="num">${measuredText(s.seen)}</small>` : ""}`,
        )}
      </td>
      <td class="num dim">
        ${device ? `${device.address}:${device.port}` : ""}<small>${device?.manufacturer} ${device?.model}</small>
      </td>
    </tr>`;
  }
}

/** A camera's windows by role. */
function rolesOf(camera: Camera): [string, MapEntry[]][] {
  const roles = new Map<string, MapEntry[]>();
  for (const one of camera.windows) roles.set(one.role, [...(roles.get(one.role) ?? []), one]);
  return [...roles];
}

define("page-cameras", CamerasPage);
