// Decides what the window shows: set-up, login, or the shell around a page.
import { html, type TemplateResult } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { api, ApiError, connection, consoleReachable } from "./core/api.ts";
import { listenKeys } from "./core/keys.ts";
import { go, matchPath, navigation } from "./core/router.ts";
import { store } from "./core/session.ts";
import type { Problem, Purpose, RoleCode, Session } from "./core/types.ts";
import { clockText, dayOf } from "./core/time.ts";
import { code, errorText, t, words } from "./i18n/index.ts";
import { dialogOpen } from "./ui/dialog.ts";
import { showHelp } from "./ui/help.ts";
import { icon } from "./ui/icons.ts";
import { allowedPurposes, askPurpose } from "./ui/purpose.ts";
import { changePassword } from "./ui/password.ts";
import { define, View } from "./ui/view.ts";
import "./pages/login.ts";
import "./pages/setup.ts";
import "./pages/wall.ts";
import "./pages/cameras.ts";
import "./pages/camera.ts";
import "./pages/plans.ts";
import "./pages/schedules.ts";
import "./pages/calendar.ts";
import "./pages/plan-day.ts";
import "./pages/keeping.ts";
import "./pages/workstations.ts";
import "./pages/cases.ts";
import "./pages/case.ts";
import "./pages/visit.ts";
import "./pages/problems.ts";
import "./pages/accounts.ts";
import "./pages/sources.ts";
import "./pages/hall.ts";
import "./pages/audit.ts";

interface Page {
  path: string;
  view: (parts: Record<string, string>) => TemplateResult;
  roles: RoleCode[];
  dark?: boolean;
}

interface Entry {
  path: string;
  key: string;
  glyph: string;
  roles: RoleCode[];
  shortcut: string;
}

type Stage = "starting" | "setup" | "login" | "shell" | "away";

const EVERYONE: RoleCode[] = ["supervisor", "auditor", "hall_admin", "system_admin"];

const PAGES: Page[] = [
  { path: "/wall", roles: ["supervisor"], dark: true, view: () => html`<page-wall></page-wall>` },
  { path: "/cameras", roles: EVERYONE, view: () => html`<page-cameras></page-cameras>` },
  { path: "/cameras/:id", roles: EVERYONE, view: (parts) => html`<page-camera .camera=${parts["id"]}></page-camera>` },
  { path: "/plans", roles: EVERYONE, view: () => html`<page-plans></page-plans>` },
  { path: "/plans/schedules", roles: EVERYONE, view: () => html`<page-schedules></page-schedules>` },
  { path: "/plans/calendar", roles: EVERYONE, view: () => html`<page-calendar></page-calendar>` },
  { path: "/plans/day", roles: EVERYONE, view: () => html`<page-plan-day></page-plan-day>` },
  { path: "/plans/keeping", roles: EVERYONE, view: () => html`<page-keeping></page-keeping>` },
  { path: "/workstations", roles: EVERYONE, view: () => html`<page-workstations></page-workstations>` },
  { path: "/cases", roles: ["supervisor", "auditor"], view: () => html`<page-cases></page-cases>` },
  {
    path: "/cases/:id",
    roles: ["supervisor", "auditor"],
    view: (parts) => html`<page-case .case=${parts["id"]}></page-case>`,
  },
  {
    path: "/cases/:id/visits/:visit",
    roles: ["supervisor", "auditor"],
    view: (parts) => html`<page-visit .case=${parts["id"]} .visit=${parts["visit"]}></page-visit>`,
  },
  { path: "/problems", roles: EVERYONE, view: () => html`<page-problems></page-problems>` },
  { path: "/accounts", roles: ["system_admin"], view: () => html`<page-accounts></page-accounts>` },
  { path: "/sources", roles: ["auditor", "system_admin"], view: () => html`<page-sources></page-sources>` },
  { path: "/hall", roles: EVERYONE, view: () => html`<page-hall></page-hall>` },
  { path: "/audit", roles: ["auditor", "system_admin"], view: () => html`<page-audit></page-audit>` },
];

const MENU: Entry[] = [
  { path: "/wall", key: "nav.wall", glyph: "wall", roles: ["supervisor"], shortcut: "w" },
  { path: "/cases", key: "nav.cases", glyph: "case", roles: ["supervisor", "auditor"], shortcut: "a" },
  { path: "/cameras", key: "nav.cameras", glyph: "camera", roles: EVERYONE, shortcut: "s" },
  { path: "/plans", key: "nav.plans", glyph: "plan", roles: EVERYONE, shortcut: "p" },
  { path: "/workstations", key: "nav.workstations", glyph: "workstation", roles: EVERYONE, shortcut: "d" },
  { path: "/sources", key: "nav.sources", glyph: "source", roles: ["auditor", "system_admin"], shortcut: "" },
  { path: "/audit", key: "nav.audit", glyph: "audit", roles: ["auditor", "system_admin"], shortcut: "" },
  { path: "/accounts", key: "nav.accounts", glyph: "people", roles: ["system_admin"], shortcut: "" },
  { path: "/hall", key: "nav.hall", glyph: "hall", roles: EVERYONE, shortcut: "" },
];

class SunApp extends View {
  #stage: Stage = "starting";
  #awayCode = "";
  #rail = localStorage.getItem("sunhall.rail") === "narrow";
  #clock: number | undefined;
  #polling: number | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    navigation.addEventListener("change", () => this.#arrived());
    connection.addEventListener("signed_out", () => this.#signedOut());
    connection.addEventListener("lost", () => this.requestUpdate());
    connection.addEventListener("found", () => this.requestUpdate());
    this.#clock = window.setInterval(() => this.#tick(), 250);
    this.#polling = window.setInterval(() => void this.#pollProblems(), 10_000);
    listenKeys(this.#keys(), () => this.#stage === "shell" && !dialogOpen());
    void this.#begin();
  }

  override disconnectedCallback(): void {
    window.clearInterval(this.#clock);
    window.clearInterval(this.#polling);
    super.disconnectedCallback();
  }

  #keys() {
    let waitingForPlace = 0;
    const places = Object.fromEntries(MENU.filter((one) => one.shortcut).map((one) => [one.shortcut, one]));
    document.addEventListener("keydown", (event) => {
      const entry = places[event.key];
      if (!entry || performance.now() - waitingForPlace > 1500 || dialogOpen()) return;
      waitingForPlace = 0;
      if (store.has(...entry.roles)) go(entry.path);
    });
    return {
      "?": () => showHelp(),
      g: () => {
        waitingForPlace = performance.now();
      },
      "/": () => {
        if (store.has("supervisor", "auditor")) go("/cases");
      },
    };
  }

  async #begin(): Promise<void> {
    try {
      const setup = await api.get<{ needed: boolean }>("/api/setup");
      if (setup.needed) {
        this.#show("setup");
        if (location.pathname !== "/setup") go("/setup", true);
        return;
      }
      await this.#resume();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#awayCode = error.code;
      this.#show("away");
      window.setTimeout(() => void this.#begin(), 3000);
    }
  }

  async #resume(): Promise<void> {
    try {
      store.adopt(await api.get<Session>("/api/session"));
      store.setPurpose((await api.get<Purpose | null>("/api/purposes/current").catch(() => null)) ?? null);
      this.#show("shell");
      this.#arrived();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      this.#signedOut();
    }
  }

  #show(stage: Stage): void {
    this.#stage = stage;
    this.requestUpdate();
  }

  #signedOut(): void {
    if (this.#stage === "setup") return;
    const here = location.pathname + location.search;
    store.forget();
    this.#show("login");
    if (location.pathname !== "/login") go(here === "/" ? "/login" : `/login?next=${encodeURIComponent(here)}`, true);
  }

  #arrived(): void {
    if (this.#stage === "setup" && location.pathname === "/login") this.#stage = "login";
    if (store.session && (this.#stage === "login" || this.#stage === "shell")) {
      this.#stage = "shell";
      if (["/", "/login", "/setup"].includes(location.pathname)) go(this.#home(), true);
      void this.#pollProblems();
    }
    this.requestUpdate();
  }

  #home(): string {
    if (store.has("supervisor")) return "/wall";
    if (store.has("auditor")) return "/cases";
    if (store.has("hall_admin")) return "/cameras";
    return "/accounts";
  }

  async #pollProblems(): Promise<void> {
    if (!store.session || document.hidden) return;
    const answer = await api.get<{ count: number; problems: Problem[] }>("/api/problems").catch(() => null);
    if (answer) store.setProblems(answer.count);
  }

  #tick(): void {
    const clock = this.querySelector(".hall-clock time");
    if (!clock || !store.clock.known) return;
    const now = store.clock.nowUs();
    clock.textContent = `${dayOf(now, store.zone)} ${clockText(now, store.zone)}`;
  }

  async #leave(): Promise<void> {
    await api.post("/api/logout").catch(() => undefined);
    store.forget();
    this.#show("login");
    go("/login", true);
  }

  protected override render() {
    switch (this.#stage) {
      case "setup":
        return html`<page-setup></page-setup>`;
      case "login":
        return html`<page-login></page-login>`;
      case "shell":
        return this.#shell();
      case "away":
        return html`<main class="empty-state full">
          ${icon("problem", 40)}
          <h2>${errorText(this.#awayCode)}</h2>
          <p>${t("app.retrying")}</p>
        </main>`;
      default:
        return html`<main class="empty-state full">
          <i class="spinner"></i>
          <p>${t("app.starting")}</p>
        </main>`;
    }
  }

  #found(): { page: Page; parts: Record<string, string> } | null {
    for (const page of PAGES) {
      const parts = matchPath(page.path, location.pathname);
      if (parts) return { page, parts };
    }
    return null;
  }

  #shell() {
    const found = this.#found();
    return html`<div class="shell ${found?.page.dark ? "dark" : ""} ${this.#rail ? "narrow" : ""}">
      ${this.#navigation()}
      <div class="stage">
        ${this.#topBar()}
        ${consoleReachable()
          ? ""
          : html`<div class="lost-banner" role="alert">${icon("problem", 16)}${t("error.console_lost")}</div>`}
        <main class="page" id="main">${this.#pageOf(found)}</main>
      </div>
    </div>`;
  }

  #pageOf(found: { page: Page; parts: Record<string, string> } | null) {
    if (!found)
      return html`<div class="empty-state">
        <h2>${t("app.no_page")}</h2>
        <a href="/">${t("app.home")}</a>
      </div>`;
    if (!store.has(...found.page.roles)) {
      return html`<div class="empty-state">
        ${icon("key", 36)}
        <h2>${t("error.not_permitted")}</h2>
        <p>${t("app.no_role")}</p>
      </div>`;
    }
    return keyed(location.pathname, found.page.view(found.parts));
  }

  #navigation() {
    const here = location.pathname;
    return html`<nav class="rail" aria-label=${t("nav.label")}>
      <a class="brand" href="/">${icon("logo", 26)}<span>${t("app.name")}</span></a>
      <ul>
        ${MENU.filter((one) => store.has(...one.roles)).map(
          (one) =>
            html`<li>
              <a
                href=${one.path}
                title=${t(one.key)}
                aria-current=${here === one.path || here.startsWith(`${one.path}/`) ? "page" : "false"}
              >
                ${icon(one.glyph, 20)}<span>${t(one.key)}</span></a
              >
            </li>`,
        )}
      </ul>
      <span class="spring"></span>
      <a
        class="rail-problems ${store.problems > 0 ? "some" : ""}"
        href="/problems"
        title=${t("nav.problems")}
        aria-current=${here === "/problems" ? "page" : "false"}
      >
        ${icon("problem", 20)}<span>${t("nav.problems")}</span><b data-problems>${store.problems}</b></a
      >
      <button type="button" class="rail-fold" title=${t("nav.fold")} @click=${() => this.#fold()}>
        ${icon(this.#rail ? "forward" : "left", 18)}<span>${t("nav.fold")}</span>
      </button>
    </nav>`;
  }

  #fold(): void {
    this.#rail = !this.#rail;
    localStorage.setItem("sunhall.rail", this.#rail ? "narrow" : "wide");
    this.requestUpdate();
  }

  #topBar() {
    const session = store.session;
    const kind = store.has("supervisor") || !store.has("auditor") ? "live" : "archive";
    return html`<header class="top">
      <strong class="hall-name">${session?.hall.name}</strong>
      <span class="hall-clock" title=${t("top.clock", { zone: store.zone })}
        ><time></time><small>${store.zone}</small></span
      >
      <span class="spring"></span>
      ${allowedPurposes(store.roles, kind).length > 0
        ? html`<button
            type="button"
            class="chip ${store.purpose ? "set" : ""}"
            data-purpose=${store.purpose?.code ?? ""}
            title=${t("purpose.change")}
            @click=${() => void askPurpose(kind)}
          >
            ${icon("purpose", 16)}${store.purpose
              ? html`<b>${code("purpose", store.purpose.code)}</b><span>${store.purpose.reference}</span>`
              : t("purpose.none")}
          </button>`
        : ""}
      <button
        type="button"
        class="ghost"
        lang=${words.language === "zh" ? "en" : "zh-CN"}
        @click=${() => words.choose(words.language === "zh" ? "en" : "zh")}
      >
        ${icon("language", 16)}${t("language.other")}
      </button>
      <button type="button" class="ghost" @click=${() => showHelp()} title=${t("help.title")}>
        ${icon("help", 16)}<kbd>?</kbd>
      </button>
      <details class="menu">
        <summary>
          ${icon("people", 16)}<span>${session?.account.display_name}</span>${session?.several_roles
            ? html`<em class="flag">${t("account.several")}</em>`
            : ""}
        </summary>
        <div class="menu-list">
          <p>
            ${session?.account.login}<small
              >${session?.account.roles.map((one) => code("role", one)).join(" · ")}</small
            >
          </p>
          <button type="button" @click=${() => void changePassword()}>
            ${icon("key", 16)}${t("account.change_password")}
          </button>
          <button type="button" @click=${() => void this.#leave()}>${icon("exit", 16)}${t("account.leave")}</button>
        </div>
      </details>
    </header>`;
  }
}

define("sun-app", SunApp);
