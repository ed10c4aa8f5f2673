// The head that the pages of recording plans share: where one is, and years that nobody has loaded.
import { html, type TemplateResult } from "lit";
import { store } from "../core/session.ts";
import { t } from "../i18n/index.ts";
import { icon } from "./icons.ts";
import { listText } from "./plan-words.ts";

const PARTS = [
  ["/plans", "plans.tab_cameras"],
  ["/plans/schedules", "plans.tab_schedules"],
  ["/plans/calendar", "plans.tab_calendar"],
  ["/plans/day", "plans.tab_day"],
  ["/plans/keeping", "plans.tab_keeping"],
] as const;

export function planHead(missing: readonly number[], tools: TemplateResult | "" = ""): TemplateResult {
  return html`<header class="page-head wraps">
      <h1>${t("nav.plans")}</h1>
      <nav class="tabs" aria-label=${t("plans.parts")}>
        ${PARTS.map(
          ([path, key]) =>
            html`<a href=${path} aria-current=${location.pathname === path ? "page" : "false"}>${t(key)}</a>`,
        )}
      </nav>
      <span class="spring"></span>${tools}
    </header>
    ${missing.length > 0
      ? html`<div class="notice caution" role="status" data-missing-years>
          ${icon("problem", 20)}
          <div>
            <strong>${t("plans.missing", { years: listText(missing.map(String)) })}</strong>
            <p>${t("plans.missing_hint")}</p>
          </div>
          ${location.pathname === "/plans/calendar" || !store.has("hall_admin")
            ? ""
            : html`<a class="button" href="/plans/calendar">${t("plans.load_calendar")}</a>`}
        </div>`
      : ""}`;
}
