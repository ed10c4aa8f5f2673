import { html, type TemplateResult } from "lit";
import { api, ApiError } from "../core/api.ts";
import { go } from "../core/router.ts";
import { knownZone } from "../core/time.ts";
import { LEAST_PASSWORD, loginFault, passwordFault, periodFault, periodsOf, type PeriodRow } from "../core/rules.ts";
import type { RoleCode } from "../core/types.ts";
import { ZONES } from "../core/zones.ts";
import { code, errorText, fill, t, words } from "../i18n/index.ts";
import { area, field } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { periodsEditor } from "../ui/periods.ts";
import { bytesText } from "../core/text.ts";
import { define, View } from "../ui/view.ts";

const STEPS = [
  "code",
  "administrator",
  "hall",
  "periods",
  "windows",
  "time",
  "storage",
  "notice",
  "accounts",
  "review",
] as const;
type Step = (typeof STEPS)[number];

interface Forecast {
  path: string;
  total_bytes: number;
  free_bytes: number;
  usable_bytes: number;
  days: number;
}

interface NewAccount {
  login: string;
  display_name: string;
  password: string;
  again: string;
  roles: RoleCode[];
}

const account = (login: string, display_name: string, roles: RoleCode[]): NewAccount => ({
  login,
  display_name,
  password: "",
  again: "",
  roles,
});

class SetupPage extends View {
  #step: Step = "code";
  #reached = 0;
  #error = "";
  #busy = false;
  #done = false;
  #code = "";
  #administrator = account("", "", ["system_admin"]);
  #hall = { name: "", timezone: "Asia/Shanghai" };
  #periods: PeriodRow[] = [
    { weekdays: [1, 2, 3, 4, 5], from: "09:00", to: "12:00" },
    { weekdays: [1, 2, 3, 4, 5], from: "13:30", to: "17:00" },
  ];
  #windows = { first: "1", last: "20", name_pattern: "" };
  #time = { kind: "system", server: "" };
  #storage = { cameras: "20", kbit: "4000", quota_gb: "", video_days: "30", screen_days: "90" };
  #forecast: Forecast | null = null;
  #notice = { staff: "", visitors: "" };
  #accounts: NewAccount[] = [];

  constructor() {
    super();
    this.#windows.name_pattern = t("setup.window_pattern");
    this.#notice = { staff: t("setup.notice_staff_default"), visitors: t("setup.notice_visitors_default") };
    this.#accounts = [
      account("jiankan", code("role", "supervisor"), ["supervisor"]),
      account("diaoyue", code("role", "auditor"), ["auditor"]),
      account("dating", code("role", "hall_admin"), ["hall_admin"]),
    ];
  }

  /** What is wrong with the open step, as text; "" when it may be left. */
  #fault(step: Step = this.#step): string {
    switch (step) {
      case "code":
        return this.#code.trim() ? "" : t("setup.code_empty");
      case "administrator":
        return this.#accountFault(this.#administrator);
      case "hall":
        if (!this.#hall.name.trim()) return t("setup.hall_empty");
        return knownZone(this.#hall.timezone.trim()) ? "" : t("setup.zone_unknown");
      case "periods": {
        const fault = periodFault(this.#periods);
        return fault ? t(`rule.${fault}`, { least: LEAST_PASSWORD }) : "";
      }
      case "windows":
        return this.#windowsFault();
      case "time":
        return this.#time.kind === "ntp" && !this.#time.server.trim() ? t("setup.time_empty") : "";
      case "storage":
        return this.#storageFault();
      case "notice":
        return this.#notice.staff.trim() && this.#notice.visitors.trim() ? "" : t("setup.notice_empty");
      case "accounts":
        return this.#accountsFault();
      default:
        return "";
    }
  }

  #accountFault(one: NewAccount): string {
    const login = loginFault(one.login.trim());
    if (login) return t(`rule.${login}`, { least: LEAST_PASSWORD });
    if (!one.display_name.trim()) return t("rule.name_empty");
    const password = passwordFault(one.password, one.again, one.login.trim());
    if (password) return t(`rule.${password}`, { least: LEAST_PASSWORD });
    return one.roles.length === 0 ? t("rule.roles_none") : "";
  }

  #accountsFault(): string {
    const seen = new Set([this.#administrator.login.trim().toLowerCase()]);
    for (const one of this.#accounts) {
      const fault = this.#accountFault(one);
      if (fault) return `${one.login || "—"}: ${fault}`;
      const login = one.login.trim().toLowerCase();
      if (seen.has(login)) return `${one.login}: ${t("rule.login_taken")}`;
      seen.add(login);
    }
    return "";
  }

  #windowsFault(): string {
    const first = Number(this.#windows.first);
    const last = Number(this.#windows.last);
    if (!Number.isInteger(first) || !Number.isInteger(last) || first < 1 || last < first)
      return t("setup.windows_range");
    if (last - first >= 400) return t("setup.windows_many");
    return this.#windows.name_pattern.includes("{n}") ? "" : t("setup.windows_pattern_fault");
  }

  #storageFault(): string {
    const numbers = [this.#storage.video_days, this.#storage.screen_days].map(Number);
    if (numbers.some((one) => !Number.isInteger(one) || one < 1 || one > 3650)) return t("setup.days_fault");
    const quota = this.#storage.quota_gb.trim();
    return quota && !(Number(quota) > 0) ? t("setup.quota_fault") : "";
  }

  async #next(event: Event): Promise<void> {
    event.preventDefault();
    this.#error = this.#fault();
    if (this.#error || this.#busy) {
      this.requestUpdate();
      return;
    }
    this.#busy = true;
    this.requestUpdate();
    try {
      await this.#leaveStep();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#error = errorText(error.code, error.fields);
    }
    this.#busy = false;
    this.requestUpdate();
    await this.updateComplete;
    this.#focusFirst();
  }

  async #leaveStep(): Promise<void> {
    if (this.#step === "code") await api.post("/api/setup/code", { code: this.#code.trim() });
    if (this.#step === "review") {
      await this.#finish();
      return;
    }
    const index = STEPS.indexOf(this.#step) + 1;
    this.#reached = Math.max(this.#reached, index);
    this.#step = STEPS[index] ?? "review";
    if (this.#step === "storage") await this.#ask();
  }

  async #ask(): Promise<void> {
    const cameras = Number(this.#storage.cameras);
    const kbit = Number(this.#storage.kbit);
    if (!(cameras > 0) || !(kbit > 0)) return;
    this.#forecast = await api.post<Forecast>("/api/setup/forecast", {
      code: this.#code.trim(),
      cameras: Math.round(cameras),
      kbit_s: Math.round(kbit),
    });
    this.requestUpdate();
  }

  async #finish(): Promise<void> {
    const plain = (one: NewAccount) => ({
      login: one.login.trim(),
      display_name: one.display_name.trim(),
      password: one.password,
    });
    await api.post("/api/setup", {
      code: this.#code.trim(),
      administrator: plain(this.#administrator),
      hall: { name: this.#hall.name.trim(), timezone: this.#hall.timezone.trim() },
      periods: periodsOf(this.#periods),
      windows: {
        first: Number(this.#windows.first),
        last: Number(this.#windows.last),
        name_pattern: this.#windows.name_pattern,
      },
      time_source: this.#time.kind === "ntp" ? this.#time.server.trim() : "system",
      storage: {
        quota_gb: this.#storage.quota_gb.trim() ? Number(this.#storage.quota_gb) : 0,
        video_days: Number(this.#storage.video_days),
        screen_days: Number(this.#storage.screen_days),
      },
      notice: this.#notice,
      accounts: this.#accounts.map((one) => ({ ...plain(one), roles: one.roles })),
    });
    this.#done = true;
  }

  #focusFirst(): void {
    this.querySelector<HTMLElement>(".wizard-body input, .wizard-body select, .wizard-body textarea")?.focus();
  }

  override firstUpdated(): void {
    this.#focusFirst();
  }

  #go(index: number): void {
    if (index > this.#reached) return;
    this.#error = "";
    this.#step = STEPS[index] ?? "code";
    this.requestUpdate();
  }

  readonly #set = (): void => {
    this.#error = "";
    this.requestUpdate();
  };

  protected override render() {
    if (this.#done) return this.#doneView();
    const at = STEPS.indexOf(this.#step);
    return html`<div class="wizard">
      <aside class="wizard-steps">
        <div class="brand">${icon("logo", 28)}<span>${t("app.name")}</span></div>
        <h1>${t("setup.title")}</h1>
        <ol>
          ${STEPS.map(
            (step, index) =>
              html`<li>
                <button
                  type="button"
                  class=${index === at ? "now" : index < at ? "past" : ""}
                  ?disabled=${index > this.#reached}
                  aria-current=${index === at ? "step" : "false"}
                  @click=${() => this.#go(index)}
                >
                  <b>${index < at ? icon("check", 14) : index + 1}</b><span>${t(`setup.step_${step}`)}</span>
                </button>
              </li>`,
          )}
        </ol>
        <button type="button" class="ghost" @click=${() => words.choose(words.language === "zh" ? "en" : "zh")}>
          ${icon("language", 16)}${t("language.other")}
        </button>
      </aside>
      <main class="wizard-main">
        <form
          class="wizard-form"
          data-step=${this.#step}
          novalidate
          @submit=${(event: Event) => void this.#next(event)}
        >
          <header>
            <small>${t("setup.progress", { n: at + 1, of: STEPS.length })}</small>
            <h2>${t(`setup.step_${this.#step}`)}</h2>
            <p>${t(`setup.about_${this.#step}`)}</p>
          </header>
          <div class="wizard-body">${this.#body()}</div>
          ${this.#error ? html`<p class="error" role="alert">${this.#error}</p>` : ""}
          <footer>
            <button type="button" ?disabled=${at === 0} @click=${() => this.#go(at - 1)}>${t("do.back")}</button>
            <span class="spring"></span>
            <button class="primary" ?disabled=${this.#busy}>
              ${this.#busy ? t("do.working") : this.#step === "review" ? t("setup.finish") : t("do.next")}
            </button>
          </footer>
        </form>
      </main>
    </div>`;
  }

  #doneView() {
    return html`<main class="empty-state full">
      ${icon("check", 44)}
      <h2>${t("setup.done")}</h2>
      <p>${t("setup.done_next", { login: this.#administrator.login })}</p>
      <button type="button" class="primary" data-action="to-login" @click=${() => go("/login", true)}>
        ${t("login.submit")}
      </button>
    </main>`;
  }

  #body(): TemplateResult {
    switch (this.#step) {
      case "code":
        return field({
          label: t("setup.code"),
          name: "code",
          value: this.#code,
          autofocus: true,
          hint: t("setup.code_hint"),
          change: (value) => {
            this.#code = value;
            this.#set();
          },
        });
      case "administrator":
        return this.#accountFields(this.#administrator, "administrator");
      case "hall":
        return this.#hallBody();
      case "periods":
        return periodsEditor(this.#periods, (rows) => {
          this.#periods = rows;
          this.#set();
        });
      case "windows":
        return this.#windowsBody();
      case "time":
        return this.#timeBody();
      case "storage":
        return this.#storageBody();
      case "notice":
        return html`${area(
          t("setup.notice_staff"),
          "notice_staff",
          this.#notice.staff,
          (value) => {
            this.#notice.staff = value;
            this.#set();
          },
          t("setup.notice_staff_hint"),
        )}
        ${area(
          t("setup.notice_visitors"),
          "notice_visitors",
          this.#notice.visitors,
          (value) => {
            this.#notice.visitors = value;
            this.#set();
          },
          t("setup.notice_visitors_hint"),
        )}`;
      case "accounts":
        return this.#accountsBody();
      default:
        return this.#review();
    }
  }

  #accountFields(one: NewAccount, prefix: string): TemplateResult {
    return html`<div class="grid-2">
      ${field({
        label: t("account.login"),
        name: `${prefix}_login`,
        value: one.login,
        hint: t("account.login_hint"),
        change: (value) => {
          one.login = value;
          this.#set();
        },
      })}
      ${field({
        label: t("account.display_name"),
        name: `${prefix}_display_name`,
        value: one.display_name,
        change: (value) => {
          one.display_name = value;
          this.#set();
        },
      })}
      ${field({
        label: t("account.password"),
        name: `${prefix}_password`,
        type: "password",
        autocomplete: "new-password",
        value: one.password,
        hint: t("account.password_hint", { least: LEAST_PASSWORD }),
        change: (value) => {
          one.password = value;
          this.#set();
        },
      })}
      ${field({
        label: t("account.again"),
        name: `${prefix}_again`,
        type: "password",
        autocomplete: "new-password",
        value: one.again,
        change: (value) => {
          one.again = value;
          this.#set();
        },
      })}
    </div>`;
  }

  #hallBody(): TemplateResult {
    return html`${field({
        label: t("setup.hall_name"),
        name: "hall_name",
        value: this.#hall.name,
        placeholder: t("setup.hall_placeholder"),
        change: (value) => {
          this.#hall.name = value;
          this.#set();
        },
      })}
      ${field({
        label: t("setup.zone"),
        name: "timezone",
        value: this.#hall.timezone,
        list: "zones",
        hint: t("setup.zone_hint"),
        change: (value) => {
          this.#hall.timezone = value;
          this.#set();
        },
      })} <datalist id="zones">${ZONES.map((zone) => html`<option value=${zone}></option>`)}</datalist>`;
  }

  #windowsBody(): TemplateResult {
    const first = Number(this.#windows.first) || 1;
    const last = Number(this.#windows.last) || first;
    const name = (n: number): string => fill(this.#windows.name_pattern, { n });
    return html`<div class="grid-3">
        ${field({
          label: t("setup.window_first"),
          name: "first",
          type: "number",
          min: "1",
          value: this.#windows.first,
          change: (value) => {
            this.#windows.first = value;
            this.#set();
          },
        })}
        ${field({
          label: t("setup.window_last"),
          name: "last",
          type: "number",
          min: "1",
          value: this.#windows.last,
          change: (value) => {
            this.#windows.last = value;
            this.#set();
          },
        })}
        ${field({
          label: t("setup.window_name"),
          name: "name_pattern",
          value: this.#windows.name_pattern,
          hint: t("setup.window_name_hint"),
          change: (value) => {
            this.#windows.name_pattern = value;
            this.#set();
          },
        })}
      </div>
      <p class="sample">
        ${t("setup.window_sample", { n: Math.max(0, last - first + 1), first: name(first), last: name(last) })}
      </p>`;
  }

  #timeBody(): TemplateResult {
    const choose = (kind: string): void => {
      this.#time.kind = kind;
      this.#set();
    };
    return html`<fieldset class="choices column">
        ${["system", "ntp"].map(
          (kind) =>
            html`<label class="choice ${this.#time.kind === kind ? "on" : ""}"
              ><input
                type="radio"
                name="time"
                value=${kind}
                .checked=${this.#time.kind === kind}
                @change=${() => choose(kind)}
              /><span>${t(`setup.time_${kind}`)}<small>${t(`setup.time_${kind}_hint`)}</small></span></label
            >`,
        )}
      </fieldset>
      ${this.#time.kind === "ntp"
        ? field({
            label: t("setup.time_server"),
            name: "time_server",
            value: this.#time.server,
            placeholder: "ntp.example.gov.cn",
            change: (value) => {
              this.#time.server = value;
              this.#set();
            },
          })
        : ""}`;
  }

  #storageBody(): TemplateResult {
    const f = this.#forecast;
    const again = (): void => {
      this.#set();
      void this.#ask().catch((error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        this.#error = errorText(error.code, error.fields);
        this.requestUpdate();
      });
    };
    const wanted = Number(this.#storage.video_days);
    const short = f !== null && wanted > f.days;
    return html`<div class="grid-2">
        ${field({
          label: t("setup.cameras"),
          name: "cameras",
          type: "number",
          min: "1",
          value: this.#storage.cameras,
          change: (value) => {
            this.#storage.cameras = value;
            again();
          },
        })}
        ${field({
          label: t("setup.kbit"),
          name: "kbit",
          type: "number",
          min: "64",
          suffix: "kbit/s",
          value: this.#storage.kbit,
          change: (value) => {
            this.#storage.kbit = value;
            again();
          },
        })}
      </div>
      ${f
        ? html`<div class="forecast ${short ? "short" : ""}">
            <div class="big">
              <b>${f.days >= 100 ? Math.round(f.days) : f.days.toFixed(1)}</b><span>${t("setup.days_fit")}</span>
            </div>
            <dl>
              <dt>${t("setup.path")}</dt>
              <dd><code>${f.path}</code></dd>
              <dt>${t("setup.free")}</dt>
              <dd>${bytesText(f.free_bytes)} / ${bytesText(f.total_bytes)}</dd>
              <dt>${t("setup.usable")}</dt>
              <dd>${bytesText(f.usable_bytes)}</dd>
            </dl>
            ${short ? html`<p class="warn">${t("setup.days_short", { days: f.days.toFixed(1), wanted })}</p>` : ""}
          </div>`
        : ""}
      <div class="grid-3">
        ${field({
          label: t("setup.video_days"),
          name: "video_days",
          type: "number",
          min: "1",
          value: this.#storage.video_days,
          suffix: t("unit.days"),
          hint: t("setup.video_days_hint"),
          change: (value) => {
            this.#storage.video_days = value;
            this.#set();
          },
        })}
        ${field({
          label: t("setup.screen_days"),
          name: "screen_days",
          type: "number",
          min: "1",
          value: this.#storage.screen_days,
          suffix: t("unit.days"),
          hint: t("setup.screen_days_hint"),
          change: (value) => {
            this.#storage.screen_days = value;
            this.#set();
          },
        })}
        ${field({
          label: t("setup.quota"),
          name: "quota_gb",
          type: "number",
          min: "1",
          value: this.#storage.quota_gb,
          suffix: "GB",
          hint: t("setup.quota_hint"),
          change: (value) => {
            this.#storage.quota_gb = value;
            this.#set();
          },
        })}
      </div>`;
  }

  #accountsBody(): TemplateResult {
    const roles: RoleCode[] = ["supervisor", "auditor", "hall_admin", "system_admin"];
    const toggle = (one: NewAccount, role: RoleCode): void => {
      one.roles = one.roles.includes(role) ? one.roles.filter((had) => had !== role) : [...one.roles, role];
      this.#set();
    };
    return html`${this.#accounts.map(
        (one, index) =>
          html`<section class="account-block">
            <header>
              <h3>${one.display_name || one.login || t("account.new")}</h3>
              <button
                type="button"
                class="ghost square"
                aria-label=${t("do.remove")}
                @click=${() => {
                  this.#accounts = this.#accounts.filter((_, at) => at !== index);
                  this.#set();
                }}
              >
                ${icon("close", 16)}
              </button>
            </header>
            ${this.#accountFields(one, `account${index}`)}
            <div class="role-row">
              ${roles.map(
                (role) =>
                  html`<label class="tick"
                    ><input
                      type="checkbox"
                      name=${`account${index}_${role}`}
                      .checked=${one.roles.includes(role)}
                      @change=${() => toggle(one, role)}
                    />${code("role", role)}</label
                  >`,
              )}
              ${one.roles.length > 1 ? html`<em class="flag">${t("account.several_flagged")}</em>` : ""}
            </div>
          </section>`,
      )}
      <button
        type="button"
        class="ghost"
        @click=${() => {
          this.#accounts = [...this.#accounts, account("", "", ["supervisor"])];
          this.#set();
        }}
      >
        ${icon("plus", 16)}${t("account.add")}
      </button>`;
  }

  #review(): TemplateResult {
    const several = this.#accounts.filter((one) => one.roles.length > 1);
    return html`<dl class="facts">
        <dt>${t("setup.step_administrator")}</dt>
        <dd>${this.#administrator.display_name} <code>${this.#administrator.login}</code></dd>
        <dt>${t("setup.hall_name")}</dt>
        <dd>${this.#hall.name} · ${this.#hall.timezone}</dd>
        <dt>${t("setup.step_periods")}</dt>
        <dd>
          ${this.#periods.map(
            (row) =>
              html`<div>${row.weekdays.map((day) => t(`weekday.${day}`)).join(" ")} · ${row.from}–${row.to}</div>`,
          )}
        </dd>
        <dt>${t("setup.step_windows")}</dt>
        <dd>
          ${fill(this.#windows.name_pattern, { n: this.#windows.first })} –
          ${fill(this.#windows.name_pattern, { n: this.#windows.last })}
        </dd>
        <dt>${t("setup.step_time")}</dt>
        <dd>${this.#time.kind === "ntp" ? this.#time.server : t("setup.time_system")}</dd>
        <dt>${t("setup.step_storage")}</dt>
        <dd>
          ${t("setup.keep", { video: this.#storage.video_days, screen: this.#storage.screen_days })}${this.#forecast
            ? html` · ${t("setup.fits", { days: this.#forecast.days.toFixed(1) })}`
            : ""}
        </dd>
        <dt>${t("setup.step_accounts")}</dt>
        <dd>
          ${this.#accounts.map(
            (one) =>
              html`<div>
                ${one.display_name} <code>${one.login}</code> ·
                ${one.roles.map((role) => code("role", role)).join("、")}
              </div>`,
          )}
        </dd>
      </dl>
      ${several.length > 0
        ? html`<p class="warn">
            ${icon("problem", 16)}${t("setup.several", { who: several.map((one) => one.login).join("、") })}
          </p>`
        : ""}`;
  }
}

define("page-setup", SetupPage);
