import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { momentText, spanText } from "../core/time.ts";
import type { Problem } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { causeText } from "../live/tile.ts";
import { DataPage } from "../ui/data-page.ts";
import { detailText } from "../ui/detail.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

interface Data {
  count: number;
  problems: Problem[];
}

class ProblemsPage extends DataPage<Data> {
  protected override refreshMs = 5000;

  protected async load(): Promise<Data> {
    const answer = await api.get<Data>("/api/problems");
    store.setProblems(answer.count);
    return answer;
  }

  protected override view(data: Data) {
    return html`<header class="page-head">
        <h1>${t("nav.problems")}</h1>
        <span class="count">${data.count}</span>
      </header>
      ${data.problems.length === 0
        ? html`<div class="empty-state good">
            ${icon("check", 40)}
            <h2>${t("problems.none")}</h2>
            <p>${t("problems.none_hint")}</p>
          </div>`
        : html`<div class="card flush">
            <table class="table rows">
              <thead>
                <tr>
                  <th>${t("problems.kind")}</th>
                  <th>${t("problems.what")}</th>
                  <th>${t("problems.cause")}</th>
                  <th>${t("problems.since")}</th>
                  <th>${t("problems.times")}</th>
                </tr>
              </thead>
              <tbody>
                ${data.problems.map(
                  (one) =>
                    html`<tr>
                      <td>
                        <span class="state offline"><i class="dot offline"></i>${code("alarm", one.kind)}</span
                        ><small>${t(`alarm.${one.kind}_fix`)}</small>
                      </td>
                      <td>
                        ${one.link
                          ? html`<a class="strong" href=${one.link}>${one.name || one.subject}</a>`
                          : one.name || one.subject}
                      </td>
                      <td>
                        ${one.cause ? causeText(one.cause) : ""}${one.detail
                          ? html`<small>${detailText(one.detail, store.zone)}</small>`
                          : ""}
                      </td>
                      <td class="num">
                        ${momentText(one.since_us, store.zone)}<small
                          >${t("problems.for", { age: spanText(store.clock.nowUs() - one.since_us) })}</small
                        >
                      </td>
                      <td class="num">${one.count}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`}`;
  }
}

define("page-problems", ProblemsPage);
