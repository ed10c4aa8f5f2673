import { html } from "lit";
import { api, ApiError } from "../core/api.ts";
import { checkBrowser, type Capability } from "../core/capability.ts";
import { go } from "../core/router.ts";
import { store } from "../core/session.ts";
import type { Purpose, Session } from "../core/types.ts";
import { errorText, t, words } from "../i18n/index.ts";
import { field } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { define, View } from "../ui/view.ts";

class LoginPage extends View {
  #login = "";
  #password = "";
  #error = "";
  #busy = false;
  readonly #checks: Capability[] = checkBrowser();

  override firstUpdated(): void {
    this.querySelector<HTMLInputElement>("input[name=login]")?.focus();
  }

  async #submit(event: Event): Promise<void> {
    event.preventDefault();
    this.#busy = true;
    this.#error = "";
    this.requestUpdate();
    try {
      const session = await api.post<Session>("/api/login", { login: this.#login.trim(), password: this.#password });
      store.adopt(session);
      store.setPurpose((await api.get<Purpose | null>("/api/purposes/current").catch(() => null)) ?? null);
      const next = new URLSearchParams(location.search).get("next");
      go(next && next.startsWith("/") && !next.startsWith("//") ? next : "/", true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#error = errorText(error.code, error.fields);
    }
    this.#busy = false;
    this.requestUpdate();
  }

  protected override render() {
    const failed = this.#checks.filter((one) => one.needed && !one.ok);
    return html`<main class="gate">
      <section class="gate-side">
        <div class="gate-mark">${icon("logo", 44)}</div>
        <h1>${t("app.name")}</h1>
        <p>${t("app.tagline")}</p>
        <ul class="gate-points">
          <li>${t("gate.point_1")}</li>
          <li>${t("gate.point_2")}</li>
          <li>${t("gate.point_3")}</li>
        </ul>
      </section>
      <section class="gate-form">
        <form class="card" @submit=${(event: Event) => void this.#submit(event)}>
          <h2>${t("login.title")}</h2>
          ${field({
            label: t("login.login"),
            name: "login",
            value: this.#login,
            autocomplete: "username",
            change: (value) => {
              this.#login = value;
            },
          })}
          ${field({
            label: t("login.password"),
            name: "password",
            type: "password",
            value: this.#password,
            autocomplete: "current-password",
            change: (value) => {
              this.#password = value;
            },
          })}
          ${this.#error ? html`<p class="error" role="alert">${this.#error}</p>` : ""}
          <button class="primary wide" ?disabled=${this.#busy}>
            ${this.#busy ? t("do.working") : t("login.submit")}
          </button>
        </form>
        <details class="checks ${failed.length > 0 ? "bad" : ""}" ?open=${failed.length > 0}>
          <summary>${failed.length > 0 ? t("check.failed", { n: failed.length }) : t("check.passed")}</summary>
          <ul>
            ${this.#checks.map(
              (one) =>
                html`<li class=${one.ok ? "ok" : one.needed ? "bad" : "note"}>
                  ${icon(one.ok ? "check" : one.needed ? "problem" : "info", 16)}
                  <span
                    >${t(`check.${one.code}`, { detail: one.detail })}${one.ok
                      ? ""
                      : html`<small>${t(`check.${one.code}_fix`)}</small>`}</span
                  >
                </li>`,
            )}
          </ul>
        </details>
        <p class="gate-foot">
          <button type="button" class="ghost" @click=${() => words.choose(words.language === "zh" ? "en" : "zh")}>
            ${icon("language", 16)}${t("language.other")}
          </button>
        </p>
      </section>
    </main>`;
  }
}

define("page-login", LoginPage);
