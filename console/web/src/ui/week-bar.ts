// A week as seven bars of 24 hours.
import { html, svg, type TemplateResult } from "lit";
import { minuteTextOf } from "../core/rules.ts";
import { weekBars, WEEKDAYS, type DayBar } from "../core/week.ts";
import type { Period } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { weekText } from "./plan-words.ts";

const HEIGHT = 14;

export function weekBar(periods: readonly Period[]): TemplateResult {
  const days = weekBars(periods);
  return html`<div class="week-bar" role="img" aria-label=${weekText(periods) || t("week.closed")}>
    ${WEEKDAYS.map(
      (weekday) =>
        html`<span class=${weekday > 5 ? "weekend" : ""}>${code("weekday", String(weekday))}</span>
          <svg viewBox="0 0 1440 ${HEIGHT}" preserveAspectRatio="none" height=${HEIGHT}>
            ${[360, 720, 1080].map((at) => svg`<line class="grid" x1=${at} x2=${at} y1="0" y2=${HEIGHT}></line>`)}
            ${(days[weekday - 1] ?? []).map((bar) => rectangle(bar, weekday))}
          </svg>`,
    )}
    <span></span>
    <div class="hours">${[0, 6, 12, 18, 24].map((hour) => html`<span>${hour}:00</span>`)}</div>
  </div>`;
}

function rectangle(bar: DayBar, weekday: number) {
  const title = `${code("weekday_name", String(weekday))} ${minuteTextOf(bar.from)}–${minuteTextOf(bar.to)}`;
  return svg`<rect class=${bar.carried ? "carried" : "open"} data-weekday=${weekday} x=${bar.from} y="0" width=${bar.to - bar.from} height=${HEIGHT}><title>${title}</title></rect>`;
}
