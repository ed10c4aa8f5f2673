import { html, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import { LEAST_PASSWORD, type PeriodRow } from "../core/rules.ts";
import { store } from "../core/session.ts";
import type { CalendarYears, Hall, Schedule, WindowHours } from "../core/types.ts";
import { openMinutes, overMidnight, weekFault, weekOf, weekRows, WEEKDAYS } from "../core/week.ts";
import { code, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { confirmed } from "../ui/dialog.ts";
import { field, select, tick } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { periodsEditor } from "../ui/periods.ts";
import { planHead } from "../ui/plan-head.ts";
import { weekdaysText, weekText } from "../ui/plan-words.ts";
import { define } from "../ui/view.ts";
import { weekBar } from "../ui/week-bar.ts";

interface Data {
  schedules: Schedule[];
  windows: WindowHours[];
  hall: Hall;
  missing: number[];
}

const DIFFERS = "?";

class SchedulesPage extends DataPage<Data> {
  #chosen = new Set<string>();

  protected async load(): Promise<Data> {
    const [schedules, windows, hall, years] = await Promise.all([
      api.get<{ schedules: Schedule[] }>("/api/schedules"),
      api.get<{ windows: WindowHours[] }>("/api/window-hours"),
      api.get<Hall>("/api/hall"),
      api.get<CalendarYears>("/api/calendar"),
    ]);
    return { schedules: schedules.schedules, windows: windows.windows, hall, missing: years.missing };
  }

  protected override view(data: Data) {
    const manage = store.has("hall_admin");
    return html`${planHead(
        data.missing,
        manage
          ? html`<button type="button" class="primary" data-action="add-schedule" @click=${() => void this.#edit(null)}>
              ${icon("plus", 16)}${t("schedules.add")}
            </button>`
          : "",
      )}
      <div class="columns">
        <div class="cards">
          <section class="card schedule" data-schedule="hall">
            <header>
              <h2>${t("schedules.hall")}</h2>
              <span class="spring"></span>
              ${store.has("system_admin") ? html`<a href="/hall">${t("do.edit")}</a>` : ""}
            </header>
            ${weekBar(data.hall.periods)}
            <p class="week-text">${weekText(data.hall.periods)}</p>
            <p class="hint">${t("schedules.hall_hint")}</p>
          </section>
          ${data.schedules.map((one) => this.#card(one, manage))}
        </div>
        ${this.#windows(data, manage)}
      </div>`;
  }

  #card(one: Schedule, manage: boolean) {
    const used = one.cameras + one.windows > 0;
    return html`<section class="card schedule" data-schedule=${one.id}>
      <header>
        <h2>${one.name}</h2>
        ${one.follows_calendar ? "" : html`<em class="flag">${t("schedules.no_holidays")}</em>`}
        <span class="spring"></span>
        ${manage
          ? html`<button type="button" class="ghost" data-action="edit" @click=${() => void this.#edit(one)}>
                ${t("do.edit")}
              </button>
              <button
                type="button"
                class="ghost danger"
                ?disabled=${used}
                title=${used ? t("schedules.used_hint") : ""}
                @click=${() => void this.#remove(one)}
              >
                ${t("do.remove")}
              </button>`
          : ""}
      </header>
      ${weekBar(one.periods)}
      <p class="week-text">${weekText(one.periods)}</p>
      <p class="hint">${t("schedules.used", { cameras: one.cameras, windows: one.windows })}</p>
    </section>`;
  }

  async #remove(one: Schedule): Promise<void> {
    if (!(await confirmed(t("schedules.remove"), t("schedules.remove_confirm", { name: one.name }), t("do.remove"))))
      return;
    await this.change(() => api.delete(`/api/schedules/${one.id}`), t("do.saved"));
  }

  async #edit(one: Schedule | null): Promise<void> {
    const form = {
      name: one?.name ?? "",
      follows: one?.follows_calendar ?? true,
      rows: one
        ? weekRows(one.periods)
        : [
            { weekdays: [1, 2, 3, 4, 5], from: "09:00", to: "12:00" },
            { weekdays: [1, 2, 3, 4, 5], from: "13:30", to: "17:00" },
          ],
    };
    await this.edit({
      title: () => (one ? t("schedules.edit", { name: one.name }) : t("schedules.add")),
      wide: true,
      check: () => (form.name.trim() ? ruleText(weekFault(form.rows)) : t("rule.name_empty")),
      save: () => {
        const body = { name: form.name.trim(), follows_calendar: form.follows, periods: weekOf(form.rows) };
        return one ? api.patch(`/api/schedules/${one.id}`, body) : api.post("/api/schedules", body);
      },
      body: ({ redraw }) =>
        html`${one && one.cameras + one.windows > 0
            ? html`<p class="hint">${t("schedules.edit_used", { cameras: one.cameras, windows: one.windows })}</p>`
            : ""}
          ${field({
            label: t("schedules.name"),
            name: "name",
            value: form.name,
            autofocus: true,
            placeholder: t("schedules.name_placeholder"),
            change: (value) => {
              form.name = value;
            },
          })}
          ${tick(t("schedules.follows"), "follows", form.follows, (value) => {
            form.follows = value;
            redraw();
          })}
          <p class="hint">${t("schedules.follows_hint")}</p>
          ${periodsEditor(
            form.rows,
            (rows) => {
              form.rows = rows;
              redraw();
            },
            { overMidnight },
          )}
          ${this.#preview(form.rows)}`,
    });
  }

  #preview(rows: readonly PeriodRow[]): TemplateResult {
    const fault = weekFault(rows);
    if (fault && fault !== "period_overlap") return html`<p class="hint">${ruleText(fault)}</p>`;
    const periods = weekOf(rows);
    return html`<div class="week-preview">
      ${weekBar(periods)}
      <p class="hint">
        ${fault
          ? html`<span class="error">${ruleText(fault)}</span>`
          : t("week.total", { hours: Math.round((openMinutes(periods) / 60) * 10) / 10 })}
      </p>
    </div>`;
  }

  #windows(data: Data, manage: boolean): TemplateResult {
    const chosen = data.windows.filter((one) => this.#chosen.has(one.window_id));
    return html`<section class="card">
      <header>
        <h2>${t("schedules.windows")}</h2>
        <span class="count">${data.windows.length}</span>
        <span class="spring"></span>
        ${manage
          ? html`<button
              type="button"
              data-action="edit-windows"
              ?disabled=${chosen.length === 0}
              @click=${() => void this.#hours(chosen, data.schedules)}
            >
              ${t("plans.edit_chosen")}${chosen.length > 0 ? ` (${chosen.length})` : ""}
            </button>`
          : ""}
      </header>
      <p class="hint">${t("schedules.windows_hint")}</p>
      <table class="table compact">
        <thead>
          <tr>
            ${manage
              ? html`<th class="pick">
                  <input
                    type="checkbox"
                    aria-label=${t("plans.choose_all")}
                    .checked=${chosen.length > 0 && chosen.length === data.windows.length}
                    .indeterminate=${chosen.length > 0 && chosen.length < data.windows.length}
                    @change=${(event: Event) => {
                      const on = (event.target as HTMLInputElement).checked;
                      this.#chosen = new Set(on ? data.windows.map((one) => one.window_id) : []);
                      this.requestUpdate();
                    }}
                  />
                </th>`
              : ""}
            <th>${t("map.window")}</th>
            <th>${t("schedules.goes_by")}</th>
            <th>${t("schedules.lunch")}</th>
            ${manage ? html`<th></th>` : ""}
          </tr>
        </thead>
        <tbody>
          ${data.windows.map((one) => this.#window(one, data.schedules, manage))}
        </tbody>
      </table>
    </section>`;
  }

  #window(one: WindowHours, schedules: readonly Schedule[], manage: boolean): TemplateResult {
    const own = schedules.find((had) => had.id === one.schedule_id)?.name;
    return html`<tr data-window=${one.window_id}>
      ${manage
        ? html`<td class="pick">
            <input
              type="checkbox"
              aria-label=${one.name}
              .checked=${this.#chosen.has(one.window_id)}
              @change=${() => {
                if (!this.#chosen.delete(one.window_id)) this.#chosen.add(one.window_id);
                this.requestUpdate();
              }}
            />
          </td>`
        : ""}
      <td>${one.name}</td>
      <td>${own ?? html`<span class="dim">${t("schedules.hall")}</span>`}</td>
      <td>${weekdaysText(one.lunch_weekdays) || html`<span class="dim">—</span>`}</td>
      ${manage
        ? html`<td class="actions">
            <button
              type="button"
              class="ghost"
              data-action="edit-window"
              @click=${() => void this.#hours([one], schedules)}
            >
              ${t("do.edit")}
            </button>
          </td>`
        : ""}
    </tr>`;
  }

  /** The hours of one window or of several; what differs among them stays until something is chosen. */
  async #hours(windows: readonly WindowHours[], schedules: readonly Schedule[]): Promise<void> {
    const [first] = windows;
    if (!first) return;
    const lunches = new Set(windows.map((one) => one.lunch_weekdays.join()));
    const owns = new Set(windows.map((one) => one.schedule_id ?? ""));
    const form = {
      schedule: owns.size > 1 ? DIFFERS : (first.schedule_id ?? ""),
      lunch: lunches.size > 1 ? null : first.lunch_weekdays,
    };
    const change = (): object => ({
      ...(form.schedule === DIFFERS ? {} : { schedule_id: form.schedule || null }),
      ...(form.lunch === null ? {} : { lunch_weekdays: form.lunch }),
    });
    await this.edit({
      title: () =>
        windows.length === 1
          ? t("schedules.edit_window", { name: first.name })
          : t("schedules.edit_windows", { n: windows.length }),
      ready: () => Object.keys(change()).length > 0,
      save: async () => {
        for (const one of windows) await api.patch(`/api/windows/${one.window_id}/hours`, change());
      },
      body: ({ redraw }) =>
        html`${select(
            t("schedules.goes_by"),
            "schedule",
            form.schedule,
            [
              ...(owns.size > 1 ? [{ value: DIFFERS, text: t("plans.differs") }] : []),
              { value: "", text: t("schedules.hall") },
              ...schedules.map((one) => ({ value: one.id, text: one.name })),
            ],
            (value) => {
              form.schedule = value;
              redraw();
            },
          )}
          <div class="field">
            <span>${t("schedules.lunch")}${form.lunch === null ? ` · ${t("plans.differs")}` : ""}</span>
            ${weekdayButtons(form.lunch ?? [], (days) => {
              form.lunch = days;
              redraw();
            })}
            <small>${t("schedules.lunch_hint")}</small>
          </div>`,
    });
  }
}

function weekdayButtons(days: readonly number[], change: (days: number[]) => void): TemplateResult {
  return html`<span class="weekdays">
    ${WEEKDAYS.map(
      (day) =>
        html`<button
          type="button"
          class="weekday"
          aria-pressed=${days.includes(day)}
          aria-label=${code("weekday_name", String(day))}
          @click=${() => change(days.includes(day) ? days.filter((one) => one !== day) : [...days, day].sort())}
        >
          ${code("weekday", String(day))}
        </button>`,
    )}
  </span>`;
}

function ruleText(fault: string): string {
  return fault ? t(`rule.${fault}`, { least: LEAST_PASSWORD }) : "";
}

define("page-schedules", SchedulesPage);
