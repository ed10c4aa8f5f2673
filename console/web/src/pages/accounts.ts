import { html, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import { LEAST_PASSWORD, loginFault, passwordFault } from "../core/rules.ts";
import type { Account, RoleCode } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { field } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

const ROLES: RoleCode[] = ["supervisor", "auditor", "hall_admin", "system_admin"];

class AccountsPage extends DataPage<Account[]> {
  protected async load(): Promise<Account[]> {
    return (await api.get<{ accounts: Account[] }>("/api/accounts")).accounts;
  }

  protected override view(accounts: Account[]): TemplateResult {
    return html`<header class="page-head">
        <h1>${t("nav.accounts")}</h1>
        <span class="count">${accounts.length}</span><span class="spring"></span>
        <button type="button" class="primary" @click=${() => void this.#edit(null)}>
          ${icon("plus", 16)}${t("account.add")}
        </button>
      </header>
      <div class="card flush">
        <table class="table rows">
          <thead>
            <tr>
              <th>${t("account.login")}</th>
              <th>${t("account.display_name")}</th>
              <th>${t("account.roles")}</th>
              <th>${t("account.state")}</th>
              <th></th>
            </tr>
          </thead>
          <tbody>
            ${accounts.map(
              (one) =>
                html`<tr class=${one.disabled ? "muted" : ""}>
                  <td><code>${one.login}</code></td>
                  <td>${one.display_name}</td>
                  <td>
                    ${one.roles.map((role) => html`<span class="tag">${code("role", role)}</span>`)}${one.roles.length >
                    1
                      ? html`<em class="flag">${t("account.several")}</em>`
                      : ""}
                  </td>
                  <td>${one.disabled ? t("account.disabled") : t("account.enabled")}</td>
                  <td class="actions">
                    <button type="button" class="ghost" @click=${() => void this.#edit(one)}>${t("do.edit")}</button>
                    <button
                      type="button"
                      class="ghost"
                      @click=${() =>
                        void this.change(
                          () => api.patch(`/api/accounts/${one.id}`, { disabled: !one.disabled }),
                          t("do.saved"),
                        )}
                    >
                      ${one.disabled ? t("account.enable") : t("account.disable")}
                    </button>
                  </td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }

  async #edit(one: Account | null): Promise<void> {
    const form = {
      login: one?.login ?? "",
      display_name: one?.display_name ?? "",
      password: "",
      again: "",
      roles: [...(one?.roles ?? [])],
    };
    await this.edit({
      title: () => (one ? t("account.edit") : t("account.add")),
      check: () => faultOf(form, one === null),
      save: () =>
        one
          ? api.patch(`/api/accounts/${one.id}`, {
              display_name: form.display_name,
              roles: form.roles,
              ...(form.password ? { password: form.password } : {}),
            })
          : api.post("/api/accounts", {
              login: form.login.trim(),
              display_name: form.display_name.trim(),
              password: form.password,
              roles: form.roles,
            }),
      body: ({ redraw }) =>
        html`${one
            ? ""
            : field({
                label: t("account.login"),
                name: "new_login",
                value: form.login,
                hint: t("account.login_hint"),
                change: (value) => {
                  form.login = value;
                },
              })}
          ${field({
            label: t("account.display_name"),
            name: "display_name",
            value: form.display_name,
            change: (value) => {
              form.display_name = value;
            },
          })}
          <div class="grid-2">
            ${field({
              label: one ? t("account.new_password") : t("account.password"),
              name: "password",
              type: "password",
              autocomplete: "new-password",
              value: form.password,
              hint: one ? t("account.keep_password") : t("account.password_hint", { least: LEAST_PASSWORD }),
              change: (value) => {
                form.password = value;
              },
            })}
            ${field({
              label: t("account.again"),
              name: "again",
              type: "password",
              autocomplete: "new-password",
              value: form.again,
              change: (value) => {
                form.again = value;
              },
            })}
          </div>
          <div class="role-row">
            ${ROLES.map(
              (role) =>
                html`<label class="tick"
                  ><input
                    type="checkbox"
                    .checked=${form.roles.includes(role)}
                    @change=${() => {
                      form.roles = form.roles.includes(role)
                        ? form.roles.filter((had) => had !== role)
                        : [...form.roles, role];
                      redraw();
                    }}
                  />${code("role", role)}</label
                >`,
            )}
          </div>
          ${form.roles.length > 1
            ? html`<p class="warn">${icon("problem", 16)}${t("account.several_flagged")}</p>`
            : ""}`,
    });
  }
}

function faultOf(
  form: { login: string; display_name: string; password: string; again: string; roles: RoleCode[] },
  fresh: boolean,
): string {
  const login = fresh ? loginFault(form.login.trim()) : "";
  if (login) return t(`rule.${login}`, { least: LEAST_PASSWORD });
  if (!form.display_name.trim()) return t("rule.name_empty");
  const password = fresh || form.password ? passwordFault(form.password, form.again, form.login.trim()) : "";
  if (password) return t(`rule.${password}`, { least: LEAST_PASSWORD });
  return form.roles.length === 0 ? t("rule.roles_none") : "";
}

define("page-accounts", AccountsPage);
