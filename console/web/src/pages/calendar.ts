import { html, type TemplateResult } from "lit";
import { api, ApiError } from "../core/api.ts";
import { store } from "../core/session.ts";
import { dayOf, momentText } from "../core/time.ts";
import type { CalendarDay, CalendarReading, CalendarYear, CalendarYears } from "../core/types.ts";
import { WEEKDAYS } from "../core/week.ts";
import { monthWeeks, stretchesOf, usualWeekday, weekdayOf, withDay, type DayStretch } from "../core/year.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { confirmed } from "../ui/dialog.ts";
import { area, field, select } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { planHead } from "../ui/plan-head.ts";
import { define } from "../ui/view.ts";

const MONTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

interface Data {
  years: CalendarYears;
  year: CalendarYear;
}

class CalendarPage extends DataPage<Data> {
  #year = 0;

  protected async load(): Promise<Data> {
    const years = await api.get<CalendarYears>("/api/calendar");
    this.#year ||= years.missing[0] ?? Number(dayOf(store.clock.nowUs(), store.zone).slice(0, 4));
    return { years, year: await api.get<CalendarYear>(`/api/calendar/${this.#year}`) };
  }

  #turn(by: number): void {
    this.#year += by;
    void this.refresh();
  }

  protected override view({ years, year }: Data) {
    const manage = store.has("hall_admin");
    const about = years.years.find((one) => one.year === year.year);
    return html`${planHead(
        years.missing,
        html`<span class="day-picker">
            <button
              type="button"
              class="ghost square"
              aria-label=${t("calendar.before")}
              @click=${() => this.#turn(-1)}
            >
              ${icon("back", 16)}
            </button>
            <strong class="year" data-year>${year.year}</strong>
            <button type="button" class="ghost square" aria-label=${t("calendar.after")} @click=${() => this.#turn(1)}>
              ${icon("forward", 16)}
            </button> </span
          >${manage
            ? html`<button type="button" class="primary" data-action="load" @click=${() => void this.#load(year)}>
                ${icon("plus", 16)}${t("calendar.load", { year: year.year })}
              </button>`
            : ""}`,
      )}
      <section class="card">
        <header class="wraps">
          ${year.loaded
            ? html`<em class="flag good">${t("calendar.loaded")}</em>`
            : html`<em class="flag">${t("calendar.not_loaded")}</em>`}
          <span class="dim"
            >${about
              ? t("calendar.about", {
                  source: about.source || t("calendar.no_source"),
                  by: about.loaded_by ?? "—",
                  at: momentText(about.loaded_us, store.zone),
                })
              : t("calendar.not_loaded_hint")}</span
          >
          <span class="spring"></span>
          <ul class="legend">
            <li><i class="day-mark holiday">${t("calendar.mark_holiday")}</i>${code("day_kind", "holiday")}</li>
            <li><i class="day-mark workday">${t("calendar.mark_workday")}</i>${code("day_kind", "workday")}</li>
          </ul>
          ${manage && year.loaded
            ? html`<button type="button" class="ghost danger" @click=${() => void this.#forget(year)}>
                ${t("calendar.forget")}
              </button>`
            : ""}
        </header>
        <div class="year-grid">${MONTHS.map((month) => this.#month(year, month, manage))}</div>
        ${year.days.length > 0
          ? html`<h3>${t("calendar.list")}</h3>
              ${stretchList(stretchesOf(year.days))}`
          : ""}
      </section>`;
  }

  #month(year: CalendarYear, month: number, manage: boolean): TemplateResult {
    const special = new Map(year.days.map((one) => [one.day, one]));
    const today = dayOf(store.clock.nowUs(), store.zone);
    return html`<table class="month">
      <caption>
        ${code("month_name", String(month))}
      </caption>
      <thead>
        <tr>
          ${WEEKDAYS.map((day) => html`<th scope="col">${code("weekday", String(day))}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${monthWeeks(year.year, month).map(
          (week) =>
            html`<tr>
              ${week.map((day) => this.#cell(day, day ? special.get(day) : undefined, { today, manage, year }))}
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  #cell(
    day: string | null,
    special: CalendarDay | undefined,
    about: { today: string; manage: boolean; year: CalendarYear },
  ): TemplateResult {
    if (!day) return html`<td></td>`;
    const title = special ? dayTitle(special) : day;
    const mark = special ? html`<i class="day-mark ${special.kind}">${t(`calendar.mark_${special.kind}`)}</i>` : "";
    const kind = `${special?.kind ?? ""} ${weekdayOf(day) > 5 ? "weekend" : ""} ${day === about.today ? "today" : ""}`;
    return html`<td class=${kind} data-day=${day} title=${title}>
      ${about.manage && about.year.loaded
        ? html`<button type="button" aria-label=${title} @click=${() => void this.#day(day, special, about.year)}>
            ${Number(day.slice(8))}${mark}
          </button>`
        : html`<span>${Number(day.slice(8))}${mark}</span>`}
    </td>`;
  }

  /** One day by hand. */
  async #day(day: string, special: CalendarDay | undefined, year: CalendarYear): Promise<void> {
    const form = {
      kind: special?.kind ?? "",
      name: special?.name ?? "",
      as: String(special?.as_weekday || usualWeekday(day)),
    };
    await this.edit({
      title: () => `${day} ${code("weekday_name", String(weekdayOf(day)))}`,
      save: () => {
        const wanted = { day, kind: form.kind, name: form.name.trim(), as_weekday: Number(form.as) };
        const days = withDay(
          year.days,
          day,
          form.kind ? { ...wanted, as_weekday: form.kind === "workday" ? wanted.as_weekday : 0 } : null,
        );
        return api.patch(`/api/calendar/${year.year}`, { source: year.source, days });
      },
      body: ({ redraw }) =>
        html`${select(
          t("calendar.kind"),
          "kind",
          form.kind,
          [
            { value: "", text: t("calendar.ordinary") },
            { value: "holiday", text: code("day_kind", "holiday") },
            { value: "workday", text: code("day_kind", "workday") },
          ],
          (value) => {
            form.kind = value;
            redraw();
          },
        )}
        ${form.kind === "workday"
          ? select(
              t("calendar.as"),
              "as_weekday",
              form.as,
              WEEKDAYS.map((one) => ({ value: String(one), text: code("weekday_name", String(one)) })),
              (value) => {
                form.as = value;
              },
            )
          : ""}
        ${form.kind
          ? field({
              label: t("calendar.day_name"),
              name: "name",
              value: form.name,
              placeholder: t("calendar.day_name_placeholder"),
              change: (value) => {
                form.name = value;
              },
            })
          : ""}`,
    });
  }

  async #forget(year: CalendarYear): Promise<void> {
    const words = t("calendar.forget_confirm", { year: year.year });
    if (!(await confirmed(t("calendar.forget"), words, t("calendar.forget")))) return;
    await this.change(() => api.delete(`/api/calendar/${year.year}`), t("do.saved"));
  }

  /** Paste a notice or choose a file, look at what was understood, then save. */
  async #load(year: CalendarYear): Promise<void> {
    const form = { text: "", source: year.source, reading: null as CalendarReading | null, fault: "" };
    const read = async (body: object, redraw: () => void): Promise<void> => {
      form.fault = "";
      try {
        form.reading = await api.post<CalendarReading>(`/api/calendar/${year.year}/read`, body);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        form.reading = null;
        form.fault = errorText(error.code, error.fields);
      }
      redraw();
    };
    const readFile = async (file: File, redraw: () => void): Promise<void> => {
      form.source ||= file.name;
      await read({ data: base64(new Uint8Array(await file.arrayBuffer())) }, redraw);
    };
    await this.edit({
      title: () => t("calendar.load", { year: year.year }),
      wide: true,
      ready: () => (form.reading?.days.length ?? 0) > 0,
      act: () => t("calendar.save", { n: form.reading?.days.length ?? 0 }),
      save: () =>
        api.patch(`/api/calendar/${year.year}`, { source: form.source.trim(), days: form.reading?.days ?? [] }),
      body: ({ redraw }) =>
        html`<p class="hint">${t("calendar.paste_hint")}</p>
          ${area(
            t("calendar.paste"),
            "text",
            form.text,
            (value) => {
              form.text = value;
              form.reading = null;
              redraw();
            },
            "",
            { rows: 7, placeholder: t("calendar.paste_placeholder") },
          )}
          <div class="read-row">
            <button
              type="button"
              data-action="read"
              ?disabled=${!form.text.trim()}
              @click=${() => void read({ text: form.text }, redraw)}
            >
              ${t("calendar.read")}
            </button>
            <label class="button">
              ${t("calendar.file")}<input
                type="file"
                accept=".csv,.txt,text/csv,text/plain"
                @change=${(event: Event) => {
                  const file = (event.target as HTMLInputElement).files?.[0];
                  if (file) void readFile(file, redraw);
                }}
              />
            </label>
            ${form.fault ? html`<span class="error" role="alert">${form.fault}</span>` : ""}
          </div>
          ${field({
            label: t("calendar.source"),
            name: "source",
            value: form.source,
            placeholder: t("calendar.source_placeholder"),
            change: (value) => {
              form.source = value;
            },
          })}
          ${form.reading ? readingView(form.reading, year) : ""}`,
    });
  }
}

function readingView(reading: CalendarReading, year: CalendarYear): TemplateResult {
  const holidays = reading.days.filter((one) => one.kind === "holiday").length;
  const workdays = reading.days.length - holidays;
  return html`<section class="change-list" data-reading>
    <h3>${t("calendar.understood", { holidays, workdays })}</h3>
    ${stretchList(stretchesOf(reading.days))}
    ${reading.problems.length > 0
      ? html`<div class="warn" role="alert">
          ${icon("problem", 16)}
          <div>
            <p>${t("calendar.problems", { n: reading.problems.length })}</p>
            <ul>
              ${reading.problems.map(
                (one) =>
                  html`<li>
                    <b>${t("calendar.line", { n: one.line })}</b> ${code("calendar_problem", one.code)}<br /><code
                      >${one.text}</code
                    >
                  </li>`,
              )}
            </ul>
          </div>
        </div>`
      : ""}
    ${year.days.length > 0 && reading.days.length > 0
      ? html`<p class="hint">${t("calendar.replaces", { n: year.days.length })}</p>`
      : ""}
  </section>`;
}

function stretchList(stretches: readonly DayStretch[]): TemplateResult {
  return html`<ul class="stretches">
    ${stretches.map(
      (one) =>
        html`<li>
          <i class="day-mark ${one.kind}">${t(`calendar.mark_${one.kind}`)}</i>
          <b class="num">${one.first === one.last ? one.first : `${one.first} – ${one.last.slice(5)}`}</b>
          <span
            >${one.kind === "workday"
              ? t("calendar.worked_as", {
                  day: code("weekday_name", String(weekdayOf(one.first))),
                  as: code("weekday_name", String(one.as_weekday)),
                })
              : `${one.name} ${t("calendar.days", { n: one.days })}`}</span
          >
        </li>`,
    )}
  </ul>`;
}

function dayTitle(one: CalendarDay): string {
  const what = one.kind === "workday" ? t("calendar.as_day", { as: code("weekday_name", String(one.as_weekday)) }) : "";
  return [one.day, code("day_kind", one.kind), one.name, what].filter(Boolean).join(" · ");
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

define("page-calendar", CalendarPage);
