import { html, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { clockText, dayOf, momentText } from "../core/time.ts";
import { bytesText, offsetText } from "../core/text.ts";
import type { CoverageSpan, ServiceWindow, Workstation } from "../core/types.ts";
import { t } from "../i18n/index.ts";
import { coverageBar, gapList, legend, shareClass, shareText, stateText } from "../ui/coverage-bar.ts";
import { DataPage } from "../ui/data-page.ts";
import { dayPicker } from "../ui/day-picker.ts";
import { confirmed, openDialog } from "../ui/dialog.ts";
import { field, select } from "../ui/form.ts";
import { formDialog } from "../ui/form-dialog.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

interface WorkstationDay {
  day: string;
  t0_us: number;
  t1_us: number;
  now_us: number;
  monitors: { id: string; name: string; spans: CoverageSpan[] }[];
}

interface Data {
  workstations: Workstation[];
  windows: ServiceWindow[];
  days: Map<string, WorkstationDay>;
}

class WorkstationsPage extends DataPage<Data> {
  protected override refreshMs = 5000;
  #day = "";
  #open = new Set<string>();

  protected async load(): Promise<Data> {
    const day = this.#day || dayOf(store.clock.nowUs(), store.zone);
    const [list, windows] = await Promise.all([
      api.get<{ workstations: Workstation[] }>("/api/workstations"),
      api.get<{ windows: ServiceWindow[] }>("/api/windows"),
    ]);
    const days = await Promise.all(
      list.workstations.map(
        async (one) =>
          [one.id, await api.get<WorkstationDay>(`/api/workstations/${one.id}/coverage?day=${day}`)] as const,
      ),
    );
    return {
      workstations: list.workstations,
      windows: windows.windows.filter((one) => one.retired_us === null),
      days: new Map(days),
    };
  }

  protected override view(data: Data) {
    const manage = store.has("hall_admin");
    const today = dayOf(store.clock.nowUs(), store.zone);
    return html`<header class="page-head">
        <h1>${t("nav.workstations")}</h1>
        <span class="count">${data.workstations.length}</span><span class="spring"></span>
        ${dayPicker(this.#day || today, today, (day) => {
          this.#day = day;
          void this.refresh();
        })}
        ${manage
          ? html`<button type="button" class="primary" data-action="code" @click=${() => void this.#code(data.windows)}>
              ${icon("plus", 16)}${t("workstations.code")}
            </button>`
          : ""}
      </header>
      ${data.workstations.length === 0
        ? html`<div class="empty-state">
            ${icon("workstation", 40)}
            <h2>${t("workstations.none")}</h2>
            <p>${t("workstations.none_hint")}</p>
          </div>`
        : html`${legend(["ok", "still", "pending", "bad", "warn", "quiet", "future"])}${data.workstations.map((one) =>
            this.#card(one, data, manage),
          )}`}`;
  }

  #card(one: Workstation, data: Data, manage: boolean): TemplateResult {
    const day = data.days.get(one.id);
    const open = this.#open.has(one.id);
    const good = one.state === "recording" || one.state === "unchanged";
    return html`<section class="card workstation ${one.revoked_us ? "muted" : ""}" data-workstation=${one.id}>
      <header>
        <h2>${one.name}</h2>
        <span class="dim">${one.hostname}</span>
        <span class="state ${good ? "live" : one.state === "agent_down" ? "offline" : "stale"}"
          ><i class="dot ${good ? "live" : one.state === "agent_down" ? "offline" : "stale"}"></i>${one.revoked_us
            ? t("workstations.revoked")
            : stateText(one.state)}</span
        >
        <span class="spring"></span>
        ${one.windows.map(
          (w) =>
            html`<span class="tag"
              >${w.name}${manage
                ? html`<button
                    type="button"
                    aria-label=${t("map.end")}
                    title=${t("map.end")}
                    @click=${() => void this.#unmap(one, w.map_id, w.name)}
                  >
                    ${icon("close", 12)}
                  </button>`
                : ""}</span
            >`,
        )}
        ${manage && !one.revoked_us
          ? html`<button type="button" class="ghost" @click=${() => void this.#map(one, data.windows)}>
                ${icon("plus", 16)}${t("map.add_window")}
              </button>
              <button type="button" class="ghost danger" @click=${() => void this.#revoke(one)}>
                ${t("workstations.revoke")}
              </button>`
          : ""}
      </header>
      <p class="row-facts">
        <span>${t("workstations.seen")} <b>${one.seen_us ? clockText(one.seen_us, store.zone) : "—"}</b></span>
        <span
          >${t("workstations.clock")}
          <b>${one.clock_offset_us === null ? "—" : offsetText(one.clock_offset_us)}</b></span
        >
        <span
          >${t("workstations.spool")}
          <b
            >${one.spool_segments > 0
              ? t("workstations.spool_value", { n: one.spool_segments, bytes: bytesText(one.spool_bytes) })
              : t("workstations.spool_empty")}</b
          ></span
        >
        <span>${t("workstations.version")} <b>${one.agent_version}</b></span>
      </p>
      ${day && day.monitors.length > 0
        ? day.monitors.map((monitor) => {
            const facts = { spans: monitor.spans, t0_us: day.t0_us, t1_us: day.t1_us, now_us: day.now_us };
            return html`<div class="monitor-row">
                <span>${monitor.name}<b class=${shareClass(facts)}>${shareText(facts)}</b></span
                >${coverageBar(facts, store.zone)}
              </div>
              ${open ? gapList(facts, store.zone) : ""}`;
          })
        : html`<p class="hint">${t("workstations.no_monitor")}</p>`}
      <button type="button" class="ghost" @click=${() => this.#toggle(one.id)}>
        ${open ? t("workstations.less") : t("workstations.more")}
      </button>
    </section>`;
  }

  #toggle(id: string): void {
    if (!this.#open.delete(id)) this.#open.add(id);
    this.requestUpdate();
  }

  async #revoke(one: Workstation): Promise<void> {
    if (
      !(await confirmed(
        t("workstations.revoke"),
        t("workstations.revoke_confirm", { name: one.name }),
        t("workstations.revoke"),
      ))
    )
      return;
    await this.change(() => api.post(`/api/workstations/${one.id}/revoke`), t("do.saved"));
  }

  async #unmap(one: Workstation, map: string, name: string): Promise<void> {
    if (!(await confirmed(t("map.end"), t("map.end_confirm", { camera: one.name, window: name }), t("map.end"))))
      return;
    await this.change(() => api.delete(`/api/workstations/${one.id}/windows/${map}`), t("do.saved"));
  }

  async #map(one: Workstation, windows: readonly ServiceWindow[]): Promise<void> {
    const form = { window_id: windows[0]?.id ?? "" };
    await this.edit({
      title: () => t("map.add_window"),
      save: () => api.post(`/api/workstations/${one.id}/windows`, { window_id: form.window_id }),
      body: () =>
        select(
          t("map.window"),
          "window",
          form.window_id,
          windows.map((w) => ({ value: w.id, text: w.name })),
          (value) => {
            form.window_id = value;
          },
        ),
    });
  }

  async #code(windows: readonly ServiceWindow[]): Promise<void> {
    const form = { name: "", window_ids: new Set<string>(), minutes: "30" };
    let made = { code: "", expires_us: 0 };
    const done = await formDialog({
      title: () => t("workstations.code"),
      act: () => t("workstations.make_code"),
      check: () => (form.name.trim() ? "" : t("rule.name_empty")),
      save: async () => {
        made = await api.post<typeof made>("/api/workstations/codes", {
          name: form.name.trim(),
          window_ids: [...form.window_ids],
          minutes: Number(form.minutes) || 30,
        });
      },
      body: () =>
        html`${field({
            label: t("workstations.name"),
            name: "name",
            value: form.name,
            autofocus: true,
            placeholder: t("workstations.name_placeholder"),
            change: (value) => {
              form.name = value;
            },
          })}
          <fieldset class="field">
            <legend>${t("workstations.serves")}</legend>
            <div class="tick-grid">
              ${windows.map(
                (w) =>
                  html`<label class="tick"
                    ><input
                      type="checkbox"
                      value=${w.id}
                      .checked=${form.window_ids.has(w.id)}
                      @change=${() => {
                        if (!form.window_ids.delete(w.id)) form.window_ids.add(w.id);
                      }}
                    />${w.name}</label
                  >`,
              )}
            </div>
          </fieldset>
          ${field({
            label: t("workstations.minutes"),
            name: "minutes",
            type: "number",
            min: "1",
            value: form.minutes,
            suffix: t("unit.minutes"),
            change: (value) => {
              form.minutes = value;
            },
          })}`,
    });
    if (!done) return;
    await openDialog<null>(
      () => t("workstations.code"),
      ({ close }) => this.#codeShown(made.code, made.expires_us, () => close(null)),
    );
    await this.refresh();
  }

  #codeShown(value: string, expires: number, close: () => void): TemplateResult {
    const command = `sunhall-agent enrol --console ${location.origin} --code ${value} --ca-fingerprint "${t("workstations.fingerprint")}"`;
    return html`<div class="dialog-body">
        <p class="hint">${t("workstations.code_once", { at: momentText(expires, store.zone) })}</p>
        <output class="big-code" data-code>${value}</output>
        <p>${t("workstations.command")}</p>
        <pre class="command" data-command>${command}</pre>
        <p class="hint">${t("workstations.fingerprint_hint")}</p>
      </div>
      <footer>
        <button type="button" @click=${() => void navigator.clipboard?.writeText(command)}>${t("do.copy")}</button>
        <button type="button" class="primary" @click=${close}>${t("do.done")}</button>
      </footer>`;
  }
}

define("page-workstations", WorkstationsPage);
