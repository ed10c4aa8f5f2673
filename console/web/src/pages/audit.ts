import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import { momentText } from "../core/time.ts";
import type { AuditRow } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { detailText } from "../ui/detail.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

const PAGE = 100;

class AuditPage extends DataPage<AuditRow[]> {
  #action = "";
  #more = true;

  protected async load(): Promise<AuditRow[]> {
    const rows = await this.#ask(null);
    this.#more = rows.length === PAGE;
    return rows;
  }

  async #ask(before: number | null): Promise<AuditRow[]> {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (before !== null) query.set("before_us", String(before));
    if (this.#action) query.set("action", this.#action);
    return (await api.get<{ rows: AuditRow[] }>(`/api/audit?${query.toString()}`)).rows;
  }

  async #older(): Promise<void> {
    const rows = this.data ?? [];
    const last = rows[rows.length - 1];
    if (!last) return;
    const older = await this.#ask(last.at_us);
    this.#more = older.length === PAGE;
    this.data = [...rows, ...older];
    this.requestUpdate();
  }

  protected override view(rows: AuditRow[]) {
    const actions = [...new Set([...rows.map((one) => one.action), ...(this.#action ? [this.#action] : [])])].sort();
    return html`<header class="page-head">
        <h1>${t("nav.audit")}</h1>
        <span class="spring"></span>
        <select
          aria-label=${t("audit.action")}
          .value=${this.#action}
          @change=${(event: Event) => {
            this.#action = (event.target as HTMLSelectElement).value;
            void this.refresh();
          }}
        >
          <option value="">${t("audit.all")}</option>
          ${actions.map(
            (one) => html`<option value=${one} ?selected=${one === this.#action}>${code("audit", one)}</option>`,
          )}
        </select>
        <button type="button" @click=${() => void this.refresh()}>${icon("refresh", 16)}${t("do.refresh")}</button>
      </header>
      ${rows.length === 0
        ? html`<div class="empty-state">
            ${icon("audit", 40)}
            <h2>${t("audit.none")}</h2>
          </div>`
        : html`<div class="card flush">
              <table class="table rows">
                <thead>
                  <tr>
                    <th>${t("audit.at")}</th>
                    <th>${t("audit.who")}</th>
                    <th>${t("audit.action")}</th>
                    <th>${t("audit.subject")}</th>
                    <th>${t("purpose.title")}</th>
                    <th>${t("audit.detail")}</th>
                  </tr>
                </thead>
                <tbody>
                  ${rows.map(
                    (one) =>
                      html`<tr>
                        <td class="num">${momentText(one.at_us, store.zone)}</td>
                        <td>${one.display_name ?? "—"}<small>${one.login ?? ""}</small></td>
                        <td>${code("audit", one.action)}</td>
                        <td class="subject"><code>${one.subject}</code></td>
                        <td>
                          ${one.purpose
                            ? html`${code("purpose", one.purpose.code)}<small>${one.purpose.reference}</small>`
                            : ""}
                        </td>
                        <td class="detail dim">${detailText(one.detail, store.zone)}</td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>
            ${this.#more
              ? html`<p class="center">
                  <button type="button" @click=${() => void this.#older()}>${t("audit.older")}</button>
                </p>`
              : ""}`}`;
  }
}

define("page-audit", AuditPage);
