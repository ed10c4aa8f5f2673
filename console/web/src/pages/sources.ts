import { html } from "lit";
import { api } from "../core/api.ts";
import { knownZone } from "../core/time.ts";
import { store } from "../core/session.ts";
import type { Source } from "../core/types.ts";
import { t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { confirmed, openDialog } from "../ui/dialog.ts";
import { field } from "../ui/form.ts";
import { formDialog } from "../ui/form-dialog.ts";
import { icon } from "../ui/icons.ts";
import { define } from "../ui/view.ts";

class SourcesPage extends DataPage<Source[]> {
  protected override refreshMs = 10_000;

  protected async load(): Promise<Source[]> {
    return (await api.get<{ sources: Source[] }>("/api/sources")).sources;
  }

  protected override view(sources: Source[]) {
    const manage = store.has("system_admin");
    return html`<header class="page-head">
        <h1>${t("nav.sources")}</h1>
        <span class="count">${sources.length}</span><span class="spring"></span> ${store.has("system_admin")
          ? html`<button type="button" class="primary" @click=${() => void this.#add()}>
              ${icon("plus", 16)}${t("sources.add")}
            </button>`
          : ""}
      </header>
      ${sources.length === 0
        ? html`<div class="empty-state">
            ${icon("source", 40)}
            <h2>${t("sources.none")}</h2>
            <p>${t("sources.none_hint")}</p>
          </div>`
        : html`<div class="card flush">
            <table class="table rows">
              <thead>
                <tr>
                  <th>${t("sources.name")}</th>
                  <th>${t("sources.zone")}</th>
                  <th>${t("sources.events")}</th>
                  <th>${t("sources.last")}</th>
                  <th>${t("sources.holes")}</th>
                  <th></th>
                </tr>
              </thead>
              <tbody>
                ${sources.map(
                  (one) =>
                    html`<tr class=${one.disabled_us ? "muted" : ""}>
                      <td>
                        <b>${one.name}</b><small><code>${one.code}</code></small>
                      </td>
                      <td>${one.timezone || t("sources.offset_needed")}</td>
                      <td class="num">${one.events}</td>
                      <td class="num">${one.last_sequence ?? "—"}</td>
                      <td>
                        ${one.holes.length === 0
                          ? html`<span class="state live"><i class="dot live"></i>${t("sources.no_holes")}</span>`
                          : html`<span class="state offline"
                                ><i class="dot offline"></i>${t("sources.hole_count", { n: one.holes.length })}</span
                              >${one.holes
                                .slice(0, 12)
                                .map(
                                  ([first, last]) =>
                                    html`<span class="tag num">${first === last ? first : `${first}–${last}`}</span>`,
                                )}`}
                      </td>
                      <td class="actions">${manage ? this.#actions(one) : ""}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`}`;
  }

  #actions(one: Source) {
    const disabled = one.disabled_us === null;
    return html`<button type="button" class="ghost" @click=${() => void this.#renew(one)}>${t("sources.renew")}</button>
      <button
        type="button"
        class="ghost"
        @click=${() => void this.change(() => api.patch(`/api/sources/${one.id}`, { disabled }), t("do.saved"))}
      >
        ${disabled ? t("account.disable") : t("account.enable")}
      </button>`;
  }

  /** A new secret; the old one is refused at once, so it is asked first. */
  async #renew(one: Source): Promise<void> {
    if (!(await confirmed(t("sources.renew"), t("sources.renew_confirm", { name: one.name }), t("sources.renew"))))
      return;
    let secret = "";
    const done = await this.change(async () => {
      secret = (await api.post<{ secret: string }>(`/api/sources/${one.id}/secret`)).secret;
    });
    if (done)
      await openDialog<null>(
        () => t("sources.renew"),
        ({ close }) => secretView(one.code, secret, () => close(null)),
      );
  }

  async #add(): Promise<void> {
    const form = { code: "", name: "", timezone: store.zone };
    let secret = "";
    const done = await formDialog({
      title: () => t("sources.add"),
      check: () => {
        if (!form.code.trim() || !form.name.trim()) return t("sources.needed");
        return form.timezone.trim() && !knownZone(form.timezone.trim()) ? t("setup.zone_unknown") : "";
      },
      save: async () => {
        const body = { code: form.code.trim(), name: form.name.trim(), timezone: form.timezone.trim() };
        secret = (await api.post<{ secret: string }>("/api/sources", body)).secret;
      },
      body: () =>
        html`${field({
          label: t("sources.code"),
          name: "code",
          value: form.code,
          autofocus: true,
          hint: t("sources.code_hint"),
          change: (value) => {
            form.code = value;
          },
        })}
        ${field({
          label: t("sources.name"),
          name: "name",
          value: form.name,
          change: (value) => {
            form.name = value;
          },
        })}
        ${field({
          label: t("sources.zone"),
          name: "timezone",
          value: form.timezone,
          hint: t("sources.zone_hint"),
          change: (value) => {
            form.timezone = value;
          },
        })}`,
    });
    if (!done) return;
    await openDialog<null>(
      () => t("sources.add"),
      ({ close }) => secretView(form.code.trim(), secret, () => close(null)),
    );
    await this.refresh();
  }
}

function secretView(source: string, secret: string, close: () => void) {
  return html`<div class="dialog-body">
      <p class="hint">${t("sources.secret_once")}</p>
      <output class="big-code small">${secret}</output>
      <p class="hint">${t("sources.secret_use", { code: source })}</p>
    </div>
    <footer>
      <button type="button" @click=${() => void navigator.clipboard?.writeText(secret)}>${t("do.copy")}</button>
      <button type="button" class="primary" @click=${close}>${t("do.done")}</button>
    </footer>`;
}

define("page-sources", SourcesPage);
