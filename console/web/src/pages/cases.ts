import { html } from "lit";
import { api, ApiError } from "../core/api.ts";
import { go } from "../core/router.ts";
import { store } from "../core/session.ts";
import { momentText } from "../core/time.ts";
import type { CaseRow } from "../core/types.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { icon } from "../ui/icons.ts";
import { define, View } from "../ui/view.ts";

/** The server lists at most this many. */
const MOST = 50;

class CasesPage extends View {
  #query = new URLSearchParams(location.search).get("q") ?? "";
  #asked = "";
  #found: CaseRow[] | null = null;
  #error = "";
  #busy = false;

  override firstUpdated(): void {
    this.querySelector<HTMLInputElement>("input[name=q]")?.focus();
    if (this.#query) void this.#search(false);
  }

  async #search(follow: boolean): Promise<void> {
    const query = this.#query.trim();
    if (!query) return;
    this.#busy = true;
    this.#error = "";
    this.requestUpdate();
    try {
      const answer = await api.get<{ cases: CaseRow[] }>(`/api/cases?q=${encodeURIComponent(query)}`);
      this.#found = answer.cases;
      this.#asked = query;
      history.replaceState(null, "", `/cases?q=${encodeURIComponent(query)}`);
      const only = answer.cases.length === 1 ? answer.cases[0] : undefined;
      if (follow && only) go(`/cases/${only.id}`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#error = errorText(error.code, error.fields);
    }
    this.#busy = false;
    this.requestUpdate();
  }

  protected override render() {
    const twice = new Set<string>();
    const seen = new Set<string>();
    for (const one of this.#found ?? []) (seen.has(one.number) ? twice : seen).add(one.number);
    return html`<header class="page-head"><h1>${t("nav.cases")}</h1></header>
      <form
        class="case-search"
        role="search"
        @submit=${(event: Event) => {
          event.preventDefault();
          void this.#search(true);
        }}
      >
        ${icon("search", 22)}
        <input
          name="q"
          type="search"
          autocomplete="off"
          spellcheck="false"
          placeholder=${t("cases.placeholder")}
          aria-label=${t("cases.number")}
          .value=${this.#query}
          @input=${(event: InputEvent) => {
            this.#query = (event.target as HTMLInputElement).value;
          }}
        />
        <button class="primary" ?disabled=${this.#busy}>${this.#busy ? t("do.working") : t("cases.search")}</button>
      </form>
      <p class="hint case-hint">${t("cases.hint")}</p>
      ${this.#error ? html`<p class="error" role="alert">${this.#error}</p>` : ""}
      ${this.#found === null
        ? this.#start()
        : this.#found.length === 0
          ? this.#nothing()
          : this.#table(this.#found, twice)}`;
  }

  #start() {
    return html`<div class="empty-state">
      ${icon("case", 40)}
      <h2>${t("cases.start")}</h2>
      <p>${t("cases.start_hint")}</p>
    </div>`;
  }

  #nothing() {
    return html`<div class="empty-state">
      ${icon("search", 40)}
      <h2>${t("cases.nothing", { q: this.#asked })}</h2>
      <p>${t("cases.nothing_hint")}</p>
    </div>`;
  }

  #table(found: CaseRow[], twice: Set<string>) {
    const full = found.length >= MOST ? html`<p class="hint">${t("cases.many", { n: MOST })}</p>` : "";
    return html`${full}${twice.size > 0 ? html`<p class="notice">${icon("info", 18)}${t("cases.choice")}</p>` : ""}
      <div class="card flush">
        <table class="table rows">
          <thead>
            <tr>
              <th>${t("cases.number")}</th>
              <th>${t("cases.source")}</th>
              <th>${t("cases.item")}</th>
              <th>${t("cases.status")}</th>
              <th>${t("cases.first")}</th>
              <th>${t("cases.last")}</th>
              <th>${t("cases.visits")}</th>
            </tr>
          </thead>
          <tbody>
            ${found.map(
              (one) =>
                html`<tr data-case=${one.id}>
                  <td><a class="strong num" href="/cases/${one.id}">${one.number}</a></td>
                  <td>${one.source.name}<small>${one.source.code}</small></td>
                  <td><code>${one.item_code || "—"}</code></td>
                  <td>${code("event", one.status)}</td>
                  <td class="num">${momentText(one.first_us, store.zone)}</td>
                  <td class="num">${momentText(one.last_us, store.zone)}</td>
                  <td class="num">${one.visits}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }
}

define("page-cases", CasesPage);
