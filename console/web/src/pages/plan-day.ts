import { html, svg, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { dayOf, minuteText } from "../core/time.ts";
import type { CalendarYears, PlanBar, PlanDay } from "../core/types.ts";
import { weekdayOf } from "../core/year.ts";
import { code, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { dayPicker } from "../ui/day-picker.ts";
import { icon } from "../ui/icons.ts";
import { planHead } from "../ui/plan-head.ts";
import { define } from "../ui/view.ts";

const WIDTH = 1440;
const HEIGHT = 18;
const HOURS = [0, 3, 6, 9, 12, 15, 18, 21, 24];
const STATES = ["record", "event", "may_extend"];

interface Data {
  preview: PlanDay;
  missing: number[];
}

class PlanDayPage extends DataPage<Data> {
  #day = "";
  #filter = "";

  protected async load(): Promise<Data> {
    const day = this.#day || dayOf(store.clock.nowUs(), store.zone);
    const [preview, years] = await Promise.all([
      api.get<PlanDay>(`/api/plans/preview?day=${day}`),
      api.get<CalendarYears>("/api/calendar"),
    ]);
    return { preview, missing: years.missing };
  }

  protected override view({ preview, missing }: Data) {
    const today = dayOf(store.clock.nowUs(), store.zone);
    const wanted = this.#filter.trim().toLowerCase();
    const shown = preview.cameras.filter((one) => !wanted || one.name.toLowerCase().includes(wanted));
    return html`${planHead(missing)}
      <div class="tools">
        ${dayPicker(
          preview.day,
          today,
          (day) => {
            this.#day = day;
            void this.refresh();
          },
          { future: true },
        )}
        ${this.#dayFacts(preview)}
        <span class="spring"></span>
        <label class="search"
          >${icon("search", 16)}<input
            type="search"
            aria-label=${t("plans.search")}
            placeholder=${t("plans.search")}
            .value=${this.#filter}
            @input=${(event: InputEvent) => {
              this.#filter = (event.target as HTMLInputElement).value;
              this.requestUpdate();
            }}
        /></label>
      </div>
      <section class="card">
        <ul class="legend">
          ${STATES.map(
            (state) =>
              html`<li>
                <svg class="swatch" width="22" height="12" viewBox="0 0 22 12">
                  <rect class="plan-${state}" width="22" height="12" fill=${fillOf(state)}></rect></svg
                >${code("preview", state)}
              </li>`,
          )}
          <li><i class="swatch cov-future"></i>${t("preview.none")}</li>
        </ul>
        ${hatch()}
        <div class="day-rows">
          <span></span>
          <div class="hours">${HOURS.map((hour) => html`<span>${hour}:00</span>`)}</div>
          ${shown.map((one) => this.#row(one, preview))}
        </div>
        ${shown.length === 0 ? html`<p class="empty-small">${t("do.nothing_found")}</p>` : ""}
      </section>`;
  }

  #dayFacts({ day, calendar }: PlanDay): TemplateResult {
    const weekday = code("weekday_name", String(weekdayOf(day)));
    const special = calendar.kind
      ? html`<i class="day-mark ${calendar.kind}">${t(`calendar.mark_${calendar.kind}`)}</i>${calendar.kind ===
          "workday"
            ? t("calendar.as_day", { as: code("weekday_name", String(calendar.as_weekday)) })
            : `${code("day_kind", calendar.kind)} ${calendar.name}`}`
      : calendar.loaded
        ? ""
        : html`<em class="flag">${t("calendar.plain_week", { year: day.slice(0, 4) })}</em>`;
    return html`<span data-day-facts><b>${weekday}</b> ${special}</span>`;
  }

  #row(one: PlanDay["cameras"][number], preview: PlanDay): TemplateResult {
    const scale = WIDTH / (preview.t1_us - preview.t0_us);
    const now = (preview.now_us - preview.t0_us) * scale;
    const about = [code("plan_mode", one.mode), one.schedule ?? ""].filter(Boolean).join(" · ");
    return html`<span class="day-name"><a href="/cameras/${one.camera_id}">${one.name}</a><small>${about}</small></span>
      <svg
        class="day-bar"
        data-camera=${one.camera_id}
        role="img"
        aria-label=${`${one.name} ${one.bars.map(barText).join(" ")}`}
        viewBox="0 0 ${WIDTH} ${HEIGHT}"
        preserveAspectRatio="none"
        height=${HEIGHT}
      >
        ${one.bars.map(
          (bar) =>
            svg`<rect class="plan-${bar.state}" data-state=${bar.state} x=${(bar.t0_us - preview.t0_us) * scale} y="0" width=${(bar.t1_us - bar.t0_us) * scale} height=${HEIGHT} fill=${fillOf(bar.state)}><title>${barText(bar)}</title></rect>`,
        )}
        ${HOURS.slice(1, -1).map(
          (hour) =>
            svg`<line class="grid" x1=${(hour * WIDTH) / 24} x2=${(hour * WIDTH) / 24} y1="0" y2=${HEIGHT}></line>`,
        )}
        ${now > 0 && now < WIDTH ? svg`<line class="now" x1=${now} x2=${now} y1="0" y2=${HEIGHT}></line>` : ""}
      </svg>`;
  }
}

function barText(bar: PlanBar): string {
  const to = minuteText(bar.t1_us, store.zone);
  return `${code("preview", bar.state)} ${minuteText(bar.t0_us, store.zone)}–${to === "00:00" ? "24:00" : to}`;
}

function fillOf(state: string): string {
  return state === "event" ? "url(#hatch)" : "";
}

/** The pattern of what is recorded only on an event. */
function hatch() {
  return svg`<svg class="defs" width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="8" height="8"></rect><rect class="hatch-line" width="4" height="8"></rect></pattern></defs></svg>`;
}

define("page-plan-day", PlanDayPage);
