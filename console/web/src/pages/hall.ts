import { html, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import { LEAST_PASSWORD, periodFault, periodsOf, rowsOf, type PeriodRow } from "../core/rules.ts";
import { store } from "../core/session.ts";
import { bytesText } from "../core/text.ts";
import type { Hall, ServiceWindow } from "../core/types.ts";
import { t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { confirmed } from "../ui/dialog.ts";
import { area, field } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { periodsEditor } from "../ui/periods.ts";
import { define } from "../ui/view.ts";

interface Data {
  hall: Hall;
  windows: ServiceWindow[];
}

class HallPage extends DataPage<Data> {
  #rows: PeriodRow[] | null = null;
  #notice: { staff: string; visitors: string } | null = null;
  #error = "";

  protected async load(): Promise<Data> {
    const [hall, windows] = await Promise.all([
      api.get<Hall>("/api/hall"),
      api.get<{ windows: ServiceWindow[] }>("/api/windows"),
    ]);
    return { hall, windows: windows.windows };
  }

  protected override view({ hall, windows }: Data): TemplateResult {
    const system = store.has("system_admin");
    const admin = store.has("hall_admin");
    const rows = this.#rows ?? rowsOf(hall.periods);
    const notice = this.#notice ?? { staff: hall.notice_staff, visitors: hall.notice_visitors };
    return html`<header class="page-head"><h1>${t("nav.hall")}</h1></header>
      <div class="columns">
        <div class="side">
          <section class="card">
            <header>
              <h2>${t("hall.facts")}</h2>
              <span class="spring"></span>${system
                ? html`<button type="button" class="ghost" @click=${() => void this.#keep(hall)}>
                    ${t("do.edit")}
                  </button>`
                : ""}
            </header>
            <dl class="facts">
              <dt>${t("setup.hall_name")}</dt>
              <dd>${hall.name}</dd>
              <dt>${t("setup.zone")}</dt>
              <dd>${hall.timezone}</dd>
              <dt>${t("setup.step_time")}</dt>
              <dd>${hall.time_source === "system" ? t("setup.time_system") : hall.time_source}</dd>
              <dt>${t("setup.video_days")}</dt>
              <dd>${hall.video_days} ${t("unit.days")}</dd>
              <dt>${t("setup.screen_days")}</dt>
              <dd>${hall.screen_days} ${t("unit.days")}</dd>
              <dt>${t("setup.quota")}</dt>
              <dd>${hall.quota_bytes > 0 ? bytesText(hall.quota_bytes) : t("hall.no_quota")}</dd>
              <dt>${t("hall.visit_minutes")}</dt>
              <dd>${hall.visit_minutes} ${t("unit.minutes")}</dd>
            </dl>
          </section>
          <section class="card">
            <header><h2>${t("setup.step_periods")}</h2></header>
            ${system
              ? html`${periodsEditor(rows, (next) => {
                  this.#rows = next;
                  this.#error = "";
                  this.requestUpdate();
                })}
                ${this.#error ? html`<p class="error" role="alert">${this.#error}</p>` : ""}
                ${this.#rows
                  ? html`<footer>
                      <button
                        type="button"
                        @click=${() => {
                          this.#rows = null;
                          this.requestUpdate();
                        }}
                      >
                        ${t("do.cancel")}</button
                      ><button type="button" class="primary" @click=${() => void this.#savePeriods()}>
                        ${t("do.save")}
                      </button>
                    </footer>`
                  : ""}`
              : html`<ul class="plain">
                  ${rows.map(
                    (row) =>
                      html`<li>
                        ${row.weekdays.map((day) => t(`weekday.${day}`)).join(" ")} ·
                        <b class="num">${row.from}–${row.to}</b>
                      </li>`,
                  )}
                </ul>`}
          </section>
          <section class="card">
            <header>
              <h2>${t("setup.step_notice")}</h2>
              <span class="dim">${t("hall.notice_version", { n: hall.notice_version })}</span>
            </header>
            ${system
              ? html`${area(t("setup.notice_staff"), "notice_staff", notice.staff, (value) => {
                  this.#notice = { ...notice, staff: value };
                  this.requestUpdate();
                })}
                ${area(t("setup.notice_visitors"), "notice_visitors", notice.visitors, (value) => {
                  this.#notice = { ...notice, visitors: value };
                  this.requestUpdate();
                })}
                ${this.#notice
                  ? html`<footer>
                      <button
                        type="button"
                        @click=${() => {
                          this.#notice = null;
                          this.requestUpdate();
                        }}
                      >
                        ${t("do.cancel")}</button
                      ><button type="button" class="primary" @click=${() => void this.#saveNotice(notice)}>
                        ${t("do.save")}
                      </button>
                    </footer>`
                  : ""}`
              : html`<dl class="facts">
                  <dt>${t("setup.notice_staff")}</dt>
                  <dd>${notice.staff}</dd>
                  <dt>${t("setup.notice_visitors")}</dt>
                  <dd>${notice.visitors}</dd>
                </dl>`}
          </section>
        </div>
        <section class="card">
          <header>
            <h2>${t("setup.step_windows")}</h2>
            <span class="count">${windows.filter((one) => one.retired_us === null).length}</span
            ><span class="spring"></span>${admin
              ? html`<button type="button" class="ghost" @click=${() => void this.#addWindows()}>
                  ${icon("plus", 16)}${t("hall.add_windows")}
                </button>`
              : ""}
          </header>
          <table class="table compact">
            <thead>
              <tr>
                <th>${t("hall.number")}</th>
                <th>${t("hall.window_name")}</th>
                <th></th>
              </tr>
            </thead>
            <tbody>
              ${windows.map(
                (one) =>
                  html`<tr class=${one.retired_us === null ? "" : "muted"}>
                    <td class="num">${one.number}</td>
                    <td>
                      ${one.name}${one.retired_us === null ? "" : html`<em class="flag">${t("hall.retired")}</em>`}
                    </td>
                    <td class="actions">
                      ${admin
                        ? html`<button type="button" class="ghost" @click=${() => void this.#rename(one)}>
                              ${t("camera.rename")}</button
                            ><button type="button" class="ghost" @click=${() => void this.#retire(one)}>
                              ${one.retired_us === null ? t("hall.retire") : t("hall.restore")}
                            </button>`
                        : ""}
                    </td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </section>
      </div>`;
  }

  async #savePeriods(): Promise<void> {
    const rows = this.#rows ?? [];
    const fault = periodFault(rows);
    this.#error = fault ? t(`rule.${fault}`, { least: LEAST_PASSWORD }) : "";
    if (!fault && (await this.change(() => api.patch("/api/hall", { periods: periodsOf(rows) }), t("do.saved"))))
      this.#rows = null;
    this.requestUpdate();
  }

  async #saveNotice(notice: { staff: string; visitors: string }): Promise<void> {
    const body = { notice_staff: notice.staff, notice_visitors: notice.visitors };
    if (await this.change(() => api.patch("/api/hall", body), t("do.saved"))) this.#notice = null;
    this.requestUpdate();
  }

  async #keep(hall: Hall): Promise<void> {
    const form = {
      name: hall.name,
      video: String(hall.video_days),
      screen: String(hall.screen_days),
      quota: hall.quota_bytes > 0 ? String(Math.round(hall.quota_bytes / 1e9)) : "",
      visit: String(hall.visit_minutes),
    };
    await this.edit({
      title: () => t("hall.facts"),
      save: () =>
        api.patch("/api/hall", {
          name: form.name.trim(),
          video_days: Number(form.video),
          screen_days: Number(form.screen),
          quota_bytes: Math.round(Number(form.quota || "0") * 1e9),
          visit_minutes: Number(form.visit),
        }),
      body: () =>
        html`${field({
            label: t("setup.hall_name"),
            name: "hall_name",
            value: form.name,
            change: (value) => {
              form.name = value;
            },
          })}
          <div class="grid-2">
            ${field({
              label: t("setup.video_days"),
              name: "video",
              type: "number",
              min: "1",
              value: form.video,
              suffix: t("unit.days"),
              change: (value) => {
                form.video = value;
              },
            })}
            ${field({
              label: t("setup.screen_days"),
              name: "screen",
              type: "number",
              min: "1",
              value: form.screen,
              suffix: t("unit.days"),
              change: (value) => {
                form.screen = value;
              },
            })}
            ${field({
              label: t("setup.quota"),
              name: "quota",
              type: "number",
              min: "0",
              value: form.quota,
              suffix: "GB",
              hint: t("setup.quota_hint"),
              change: (value) => {
                form.quota = value;
              },
            })}
            ${field({
              label: t("hall.visit_minutes"),
              name: "visit",
              type: "number",
              min: "1",
              value: form.visit,
              suffix: t("unit.minutes"),
              change: (value) => {
                form.visit = value;
              },
            })}
          </div>`,
    });
  }

  async #addWindows(): Promise<void> {
    const form = { first: "1", last: "10", name_pattern: t("setup.window_pattern") };
    await this.edit({
      title: () => t("hall.add_windows"),
      save: () =>
        api.post("/api/windows", {
          first: Number(form.first),
          last: Number(form.last),
          name_pattern: form.name_pattern,
        }),
      body: () =>
        html`<div class="grid-3">
          ${field({
            label: t("setup.window_first"),
            name: "first",
            type: "number",
            min: "1",
            value: form.first,
            change: (value) => {
              form.first = value;
            },
          })}
          ${field({
            label: t("setup.window_last"),
            name: "last",
            type: "number",
            min: "1",
            value: form.last,
            change: (value) => {
              form.last = value;
            },
          })}
          ${field({
            label: t("setup.window_name"),
            name: "name_pattern",
            value: form.name_pattern,
            hint: t("setup.window_name_hint"),
            change: (value) => {
              form.name_pattern = value;
            },
          })}
        </div>`,
    });
  }

  async #rename(one: ServiceWindow): Promise<void> {
    const form = { name: one.name };
    await this.edit({
      title: () => t("camera.rename"),
      check: () => (form.name.trim() ? "" : t("rule.name_empty")),
      save: () => api.patch(`/api/windows/${one.id}`, { name: form.name.trim() }),
      body: () =>
        field({
          label: t("hall.window_name"),
          name: "name",
          value: form.name,
          autofocus: true,
          change: (value) => {
            form.name = value;
          },
        }),
    });
  }

  async #retire(one: ServiceWindow): Promise<void> {
    const retired = one.retired_us === null;
    if (retired && !(await confirmed(t("hall.retire"), t("hall.retire_confirm", { name: one.name }), t("hall.retire"))))
      return;
    await this.change(() => api.patch(`/api/windows/${one.id}`, { retired }), t("do.saved"));
  }
}

define("page-hall", HallPage);
