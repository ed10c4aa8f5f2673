import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { clockText, momentText, spanText } from "../core/time.ts";
import type { CaseAnswer } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

class CasePage extends DataPage<CaseAnswer> {
  case = "";
  protected override refreshMs = 10_000;

  protected load(): Promise<CaseAnswer> {
    return api.get<CaseAnswer>(`/api/cases/${this.case}`);
  }

  protected override view(data: CaseAnswer) {
    const zone = store.zone;
    return html`<header class="page-head">
        <a class="crumb" href="/cases">${t("nav.cases")}</a><span class="dim">/</span>
        <h1 class="num">${data.case.number}</h1>
        <span class="tag">${data.case.source.name}</span>${data.case.item_code
          ? html`<span class="tag">${t("cases.item")} <code>${data.case.item_code}</code></span>`
          : ""}<span class="tag">${code("event", data.case.status)}</span>
      </header>
      <div class="columns">
        <section class="card">
          <header>
            <h2>${t("case.visits")}</h2>
            <span class="count">${data.visits.length}</span>
          </header>
          ${data.visits.length === 0
            ? html`<p class="hint">${t("case.no_visits")}</p>`
            : html`<ol class="visits">
                ${data.visits.map(
                  (one) =>
                    html`<li>
                      <a href="/cases/${data.case.id}/visits/${one.id}" data-visit=${one.id}>
                        <span class="visit-window">${one.window.name}</span>
                        <span class="visit-time num"
                          >${momentText(one.t0_us, zone)} –
                          ${one.t1_us === null ? t("case.open") : clockText(one.t1_us, zone)}
                          <small>${one.t1_us === null ? "" : spanText(one.t1_us - one.t0_us)}</small></span
                        >
                        <span class="dim"
                          >${t("case.method", {
                            opened: code("visit_method", one.opened_by),
                            closed: code("visit_method", one.closed_by),
                          })}</span
                        >
                        <span class="dim"
                          >${one.staff ? t("case.staff", { staff: one.staff }) : t("case.staff_unknown")}</span
                        >
                        ${one.ambiguous ? html`<em class="flag">${t("case.ambiguous")}</em>` : ""}
                        <span class="spring"></span
                        ><span class="open-visit">${icon("play", 14)}${t("case.review")}</span>
                      </a>
                    </li>`,
                )}
              </ol>`}
        </section>
        <section class="card">
          <header>
            <h2>${t("case.events")}</h2>
            <span class="count">${data.events.length}</span>
          </header>
          <table class="table compact">
            <thead>
              <tr>
                <th>${t("case.at")}</th>
                <th>${t("case.kind")}</th>
                <th>${t("map.window")}</th>
                <th>${t("case.staff_number")}</th>
                <th>${t("case.sequence")}</th>
              </tr>
            </thead>
            <tbody>
              ${data.events.map(
                (one) =>
                  html`<tr>
                    <td class="num">
                      ${momentText(one.event_us, zone)}<small>${code("precision", one.precision)}</small>
                    </td>
                    <td>${code("event", one.kind)}${one.step ? html`<small>${one.step}</small>` : ""}</td>
                    <td>${one.window ?? ""}</td>
                    <td>${one.staff}</td>
                    <td class="num dim">${one.sequence}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </section>
      </div>`;
  }
}

define("page-case", CasePage);
