import { html, type TemplateResult } from "lit";
import { shiftDay } from "../core/time.ts";
import { t } from "../i18n/index.ts";
import { icon } from "./icons.ts";

/** A day of the hall with its neighbours; `today` limits how far one can go unless `future` days may be chosen. */
export function dayPicker(
  day: string,
  today: string,
  change: (day: string) => void,
  options: { future?: boolean } = {},
): TemplateResult {
  return html`<span class="day-picker">
    <button type="button" class="ghost square" aria-label=${t("day.before")} @click=${() => change(shiftDay(day, -1))}>
      ${icon("back", 16)}
    </button>
    <input
      type="date"
      aria-label=${t("day.day")}
      .value=${day}
      max=${options.future ? "9999-12-31" : today}
      @change=${(event: Event) => {
        const value = (event.target as HTMLInputElement).value;
        if (value) change(value);
      }}
    />
    <button
      type="button"
      class="ghost square"
      aria-label=${t("day.after")}
      ?disabled=${!options.future && day >= today}
      @click=${() => change(shiftDay(day, 1))}
    >
      ${icon("forward", 16)}
    </button>
    <button type="button" class="ghost" ?disabled=${day === today} @click=${() => change(today)}>
      ${t("day.today")}
    </button>
  </span>`;
}
