// Registering cameras: by address with a probe, or picked from discovery.
import { html, type TemplateResult } from "lit";
import { api, ApiError } from "../core/api.ts";
import { addressFault } from "../core/rules.ts";
import { store } from "../core/session.ts";
import { offsetText } from "../core/text.ts";
import { fromLocal, toLocal } from "../core/time.ts";
import type { Found, ProbeAnswer, ServiceWindow } from "../core/types.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { openDialog, type DialogHandle } from "../ui/dialog.ts";
import { faultView } from "../ui/device-fault.ts";
import { field, select } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";

export const CAMERA_ROLES = ["front", "overhead", "panorama", "outdoor"] as const;

interface Wanted {
  number: number;
  name: string;
  /** `from`: local time of the hall, as the field has it. */
  windows: { window_id: string; role: string; from: string }[];
}

interface Form {
  address: string;
  port: string;
  username: string;
  password: string;
  name: string;
  fault: string;
  busy: boolean;
  probe: ProbeAnswer | null;
  channels: Wanted[];
}

function codeOf(error: unknown): string {
  if (error instanceof ApiError) return error.code;
  throw error;
}

/** The register dialog; resolves true when a camera was registered. */
export async function registerByAddress(
  windows: readonly ServiceWindow[],
  start: Partial<Form> = {},
): Promise<boolean> {
  const form: Form = {
    address: "",
    port: "80",
    username: "",
    password: "",
    name: "",
    fault: "",
    busy: false,
    probe: null,
    channels: [],
    ...start,
  };
  const warming = keepWarm();
  const done = await openDialog<boolean>(
    () => t("register.title"),
    (handle) =>
      html`<form @submit=${(event: Event) => void submit(event, form, handle)}>
        <div class="dialog-body">
          <div class="grid-2">
            ${field({
              label: t("register.address"),
              name: "address",
              autofocus: true,
              placeholder: "192.168.1.64",
              value: form.address,
              change: (value) => {
                form.address = value;
                stale(form, handle);
              },
            })}
            ${field({
              label: t("register.port"),
              name: "port",
              type: "number",
              value: form.port,
              hint: t("register.port_hint"),
              change: (value) => {
                form.port = value;
                stale(form, handle);
              },
            })}
            ${field({
              label: t("register.username"),
              name: "username",
              value: form.username,
              change: (value) => {
                form.username = value;
                stale(form, handle);
              },
            })}
            ${field({
              label: t("register.password"),
              name: "password",
              type: "password",
              autocomplete: "new-password",
              value: form.password,
              hint: t("register.password_hint"),
              change: (value) => {
                form.password = value;
                stale(form, handle);
              },
            })}
          </div>
          ${form.fault ? faultView(form.fault) : ""}
          ${form.busy && !form.probe
            ? html`<p class="hint"><i class="spinner small"></i> ${t("register.probing")}</p>`
            : ""}
          ${form.probe ? probed(form, windows, handle) : ""}
        </div>
        <footer>
          <button type="button" @click=${() => handle.close(null)}>${t("do.cancel")}</button>
          ${form.probe
            ? html`<button
                class="primary"
                data-action="register"
                ?disabled=${form.busy || form.probe.registered !== null}
              >
                ${t("register.register")}
              </button>`
            : html`<button class="primary" data-action="probe" ?disabled=${form.busy}>${t("register.probe")}</button>`}
        </footer>
      </form>`,
    { wide: true },
  );
  window.clearInterval(warming);
  return done === true;
}

const WARM_MS = 45_000;

/** While somebody types, the gateway makes ready what a probe needs; without it the first probe is only slower. */
function keepWarm(): number {
  const warm = (): void =>
    void api.post("/api/devices/warm", {}).catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
    });
  warm();
  return window.setInterval(warm, WARM_MS);
}

function stale(form: Form, handle: DialogHandle<boolean>): void {
  form.probe = null;
  form.fault = "";
  handle.redraw();
}

async function submit(event: Event, form: Form, handle: DialogHandle<boolean>): Promise<void> {
  event.preventDefault();
  if (form.busy) return;
  form.fault = addressFault(form.address);
  if (form.fault) {
    handle.redraw();
    return;
  }
  form.busy = true;
  form.fault = "";
  handle.redraw();
  try {
    if (form.probe) {
      await register(form);
      handle.close(true);
      return;
    }
    await probe(form);
  } catch (error) {
    form.fault = codeOf(error);
  }
  form.busy = false;
  handle.redraw();
}

const connectionOf = (form: Form) => ({
  address: form.address.trim(),
  port: Number(form.port) || 80,
  username: form.username.trim(),
  password: form.password,
});

async function probe(form: Form): Promise<void> {
  const answer = await api.post<ProbeAnswer>("/api/devices/probe", connectionOf(form));
  form.probe = answer;
  form.name = form.name || answer.device.model || form.address;
  form.channels = answer.channels.map((one) => ({
    number: one.number,
    name: answer.channels.length > 1 ? `${form.name} ${one.name || one.number}` : one.name || form.name,
    windows: [],
  }));
}

async function register(form: Form): Promise<void> {
  await api.post("/api/devices", {
    ...connectionOf(form),
    name: form.name.trim() || form.address.trim(),
    channels: form.channels.map((channel) => ({
      ...channel,
      windows: channel.windows.map(({ window_id, role, from }) => {
        const from_us = fromLocal(from, store.zone);
        return { window_id, role, ...(Number.isNaN(from_us) ? {} : { from_us }) };
      }),
    })),
  });
}

function probed(form: Form, windows: readonly ServiceWindow[], handle: DialogHandle<boolean>): TemplateResult {
  const answer = form.probe as ProbeAnswer;
  const device = answer.device;
  return html`<div class="probe">
      <figure class="probe-picture">
        ${answer.picture
          ? html`<img alt=${t("register.picture")} src="data:image/jpeg;base64,${answer.picture}" />
              <figcaption>${t("register.picture_ms", { ms: answer.picture_ms })}</figcaption>`
          : html`<div class="no-picture">${t("register.no_picture")}</div>`}
      </figure>
      <dl class="facts">
        <dt>${t("device.maker")}</dt>
        <dd>${device.manufacturer} ${device.model}</dd>
        <dt>${t("device.serial")}</dt>
        <dd><code>${device.serial}</code></dd>
        <dt>${t("device.firmware")}</dt>
        <dd>${device.firmware}</dd>
        <dt>${t("device.clock")}</dt>
        <dd>${device.clock_offset_us === null ? "—" : offsetText(device.clock_offset_us)}</dd>
      </dl>
    </div>
    ${answer.warnings.map(
      (one) => html`<p class="warn">${icon("problem", 16)}${code("fault", one)} ${t(`fault.${one}_fix`)}</p>`,
    )}
    ${answer.registered ? html`<p class="warn">${icon("problem", 16)}${t("register.already")}</p>` : ""}
    ${field({
      label: t("register.name"),
      name: "name",
      value: form.name,
      change: (value) => {
        form.name = value;
      },
    })}
    ${form.channels.map((channel, index) => channelBlock(form, channel, index, windows, handle))}`;
}

function channelBlock(
  form: Form,
  channel: Wanted,
  index: number,
  windows: readonly ServiceWindow[],
  handle: DialogHandle<boolean>,
): TemplateResult {
  const streams = form.probe?.channels[index]?.streams ?? [];
  return html`<section class="channel-block">
    <header>
      <h3>${t("register.channel", { n: channel.number })}</h3>
      <span class="dim"
        >${streams.map(
          (one) =>
            html`<span class="stream-fact"
              >${code("stream", one.role)} ${one.codec.toUpperCase()} ${one.width}×${one.height} ${one.fps_milli / 1000}
              fps · ${t("device.gop")} ${(one.gop_ms / 1000).toFixed(1)} s</span
            >`,
        )}</span
      >
    </header>
    ${field({
      label: t("register.channel_name"),
      name: `channel${index}`,
      value: channel.name,
      change: (value) => {
        channel.name = value;
      },
    })}
    <div class="map-rows">
      ${channel.windows.map(
        (one, at) =>
          html`<div class="map-row">
            ${select(
              t("map.window"),
              `window${index}_${at}`,
              one.window_id,
              windows.map((w) => ({ value: w.id, text: w.name })),
              (value) => {
                one.window_id = value;
              },
            )}
            ${select(
              t("map.role"),
              `role${index}_${at}`,
              one.role,
              CAMERA_ROLES.map((role) => ({ value: role, text: code("camera_role", role) })),
              (value) => {
                one.role = value;
              },
            )}
            ${field({
              label: t("map.from"),
              name: `from${index}_${at}`,
              type: "datetime-local",
              value: one.from,
              change: (value) => {
                one.from = value;
              },
            })}
            <button
              type="button"
              class="ghost square"
              aria-label=${t("do.remove")}
              @click=${() => {
                channel.windows.splice(at, 1);
                handle.redraw();
              }}
            >
              ${icon("close", 16)}
            </button>
          </div>`,
      )}
      <button
        type="button"
        class="ghost"
        ?disabled=${windows.length === 0}
        @click=${() => {
          channel.windows.push({
            window_id: windows[0]?.id ?? "",
            role: "front",
            from: toLocal(store.clock.nowUs(), store.zone),
          });
          handle.redraw();
        }}
      >
        ${icon("plus", 16)}${t("map.add")}
      </button>
    </div>
  </section>`;
}

interface Picked {
  found: Found;
  on: boolean;
  name: string;
  result: string;
}

interface Hunt {
  mode: "multicast" | "unicast";
  subnets: string;
  busy: boolean;
  fault: string;
  list: Picked[] | null;
  note: string | null;
  searched: number;
  username: string;
  password: string;
  registering: boolean;
}

/** The discovery dialog: what answers on the network, several at once; resolves true when any was registered. */
export async function discover(): Promise<boolean> {
  const hunt: Hunt = {
    mode: "multicast",
    subnets: "",
    busy: false,
    fault: "",
    list: null,
    note: null,
    searched: 0,
    username: "",
    password: "",
    registering: false,
  };
  let any = false;
  await openDialog<boolean>(
    () => t("discover.title"),
    (handle) =>
      html`<div class="dialog-body">
          <div class="hunt-bar">
            <button
              type="button"
              class="primary"
              ?disabled=${hunt.busy}
              @click=${() => void search(hunt, "multicast", handle)}
            >
              ${icon("scan", 16)}${t("discover.local")}
            </button>
            <span class="hint">${t("discover.only_local")}</span>
          </div>
          <div class="hunt-bar">
            ${field({
              label: t("discover.subnets"),
              name: "subnets",
              value: hunt.subnets,
              placeholder: "192.168.1.0/24, 192.168.2.0/24",
              hint: t("discover.subnets_hint"),
              change: (value) => {
                hunt.subnets = value;
              },
            })}
            <button type="button" ?disabled=${hunt.busy} @click=${() => void search(hunt, "unicast", handle)}>
              ${t("discover.scan")}
            </button>
          </div>
          ${hunt.busy ? html`<p class="hint"><i class="spinner small"></i> ${t("discover.searching")}</p>` : ""}
          ${hunt.fault ? faultView(hunt.fault) : ""} ${hunt.list ? foundList(hunt, handle) : ""}
        </div>
        <footer>
          <button type="button" @click=${() => handle.close(null)}>${t("do.close")}</button>
          <button
            type="button"
            class="primary"
            data-action="register-found"
            ?disabled=${hunt.registering || !hunt.list?.some((one) => one.on)}
            @click=${() =>
              void registerFound(hunt, handle).then((done) => {
                any = any || done;
              })}
          >
            ${t("discover.register", { n: hunt.list?.filter((one) => one.on).length ?? 0 })}
          </button>
        </footer>`,
    { wide: true },
  );
  return any;
}

async function search(hunt: Hunt, mode: Hunt["mode"], handle: DialogHandle<boolean>): Promise<void> {
  Object.assign(hunt, { mode, busy: true, fault: "", list: null });
  handle.redraw();
  try {
    const subnets = hunt.subnets.split(/[\s,，;；]+/).filter(Boolean);
    const answer = await api.post<{ devices: Found[]; searched: number; note: string | null }>(
      "/api/devices/discover",
      { mode, subnets },
    );
    hunt.list = answer.devices.map((found) => ({ found, on: false, name: found.name || found.address, result: "" }));
    hunt.note = answer.note;
    hunt.searched = answer.searched;
  } catch (error) {
    hunt.fault = codeOf(error);
  }
  hunt.busy = false;
  handle.redraw();
}

function foundList(hunt: Hunt, handle: DialogHandle<boolean>): TemplateResult {
  const list = hunt.list ?? [];
  if (list.length === 0) {
    return html`<div class="empty-small">
      <p>${t("discover.nothing")}</p>
      <p>${t("discover.nothing_why")}</p>
    </div>`;
  }
  return html`<p class="hint">${t("discover.found", { n: list.length, searched: hunt.searched })}</p>
    <table class="table compact">
      <thead>
        <tr>
          <th></th>
          <th>${t("register.address")}</th>
          <th>${t("register.name")}</th>
          <th>${t("device.model")}</th>
          <th>${t("device.serial")}</th>
          <th>${t("discover.state")}</th>
        </tr>
      </thead>
      <tbody>
        ${list.map(
          (one) =>
            html`<tr>
              <td>
                <input
                  type="checkbox"
                  aria-label=${one.found.address}
                  .checked=${one.on}
                  ?disabled=${one.found.registered !== null || one.result === "ok"}
                  @change=${() => {
                    one.on = !one.on;
                    handle.redraw();
                  }}
                />
              </td>
              <td class="num">${one.found.address}:${one.found.port}</td>
              <td>
                <input
                  class="inline"
                  aria-label=${t("register.name")}
                  .value=${one.name}
                  @input=${(event: InputEvent) => {
                    one.name = (event.target as HTMLInputElement).value;
                  }}
                />
              </td>
              <td>${one.found.hardware}</td>
              <td><code>${one.found.serial}</code></td>
              <td>
                ${one.found.registered
                  ? t("discover.registered")
                  : one.result === "ok"
                    ? t("discover.done")
                    : one.result
                      ? html`<span class="error"
                          >${code("fault", one.result) === one.result
                            ? errorText(one.result)
                            : code("fault", one.result)}</span
                        >`
                      : t("discover.new")}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
    <div class="grid-2">
      ${field({
        label: t("register.username"),
        name: "found_username",
        value: hunt.username,
        hint: t("discover.same_account"),
        change: (value) => {
          hunt.username = value;
        },
      })}
      ${field({
        label: t("register.password"),
        name: "found_password",
        type: "password",
        autocomplete: "new-password",
        value: hunt.password,
        change: (value) => {
          hunt.password = value;
        },
      })}
    </div>`;
}

async function registerFound(hunt: Hunt, handle: DialogHandle<boolean>): Promise<boolean> {
  const chosen = (hunt.list ?? []).filter((one) => one.on);
  hunt.registering = true;
  hunt.fault = "";
  handle.redraw();
  let any = false;
  try {
    const items = chosen.map((one) => ({
      address: one.found.address,
      port: one.found.port,
      username: hunt.username,
      password: hunt.password,
      name: one.name,
    }));
    const answer = await api.post<{ results: { address: string; device: unknown; error: unknown }[] }>(
      "/api/devices/batch",
      { items },
    );
    answer.results.forEach((result, index) => {
      const one = chosen[index];
      if (!one) return;
      one.result = result.error ? errorCode(result.error) : "ok";
      if (one.result === "ok") {
        one.on = false;
        any = true;
      }
    });
  } catch (error) {
    hunt.fault = codeOf(error);
  }
  hunt.registering = false;
  handle.redraw();
  return any;
}

function errorCode(error: unknown): string {
  if (typeof error === "string") return error;
  return (error as { code?: string }).code ?? "unknown";
}
