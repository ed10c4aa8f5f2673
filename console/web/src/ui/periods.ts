// The editor of service periods: several a day, the same for several weekdays.
import { html, type TemplateResult } from "lit";
import type { PeriodRow } from "../core/rules.ts";
import { t } from "../i18n/index.ts";
import { icon } from "./icons.ts";

/** `overMidnight` tells which rows end on the next day; without it none may. */
export function periodsEditor(
  rows: readonly PeriodRow[],
  change: (rows: PeriodRow[]) => void,
  options: { overMidnight?: (row: PeriodRow) => boolean } = {},
): TemplateResult {
  const patch = (index: number, part: Partial<PeriodRow>): void =>
    change(rows.map((row, at) => (at === index ? { ...row, ...part } : row)));
  const toggle = (index: number, row: PeriodRow, day: number): void =>
    patch(index, {
      weekdays: row.weekdays.includes(day) ? row.weekdays.filter((one) => one !== day) : [...row.weekdays, day].sort(),
    });
  return html`<div class="periods">
    ${rows.map(
      (row, index) =>
        html`<div class="period-row">
          <input
            inputmode="numeric"
            maxlength="5"
            placeholder="09:00"
            aria-label=${t("period.from")}
            .value=${row.from}
            @input=${(event: InputEvent) => patch(index, { from: (event.target as HTMLInputElement).value })}
          />
          <span>–</span>
          <input
            inputmode="numeric"
            maxlength="5"
            placeholder="17:00"
            aria-label=${t("period.to")}
            .value=${row.to}
            @input=${(event: InputEvent) => patch(index, { to: (event.target as HTMLInputElement).value })}
          />
          ${options.overMidnight
            ? html`<em class="next-day">${options.overMidnight(row) ? t("period.next") : ""}</em>`
            : ""}
          <span class="weekdays">
            ${[1, 2, 3, 4, 5, 6, 7].map(
              (day) =>
                html`<button
                  type="button"
                  class="weekday"
                  aria-pressed=${row.weekdays.includes(day)}
                  @click=${() => toggle(index, row, day)}
                >
                  ${t(`weekday.${day}`)}
                </button>`,
            )}
          </span>
          <button
            type="button"
            class="ghost square"
            aria-label=${t("do.remove")}
            @click=${() => change(rows.filter((_, at) => at !== index))}
          >
            ${icon("close", 16)}
          </button>
        </div>`,
    )}
    <button
      type="button"
      class="ghost"
      @click=${() => change([...rows, { weekdays: [1, 2, 3, 4, 5], from: "14:00", to: "17:30" }])}
    >
      ${icon("plus", 16)}${t("period.add")}
    </button>
  </div>`;
}
