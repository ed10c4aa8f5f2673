import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import type { CalendarYears, Hall, RetentionClass } from "../core/types.ts";
import { t } from "../i18n/index.ts";
import { DataPage } from "../ui/data-page.ts";
import { confirmed } from "../ui/dialog.ts";
import { area, field } from "../ui/form.ts";
import { icon } from "../ui/icons.ts";
import { planHead } from "../ui/plan-head.ts";
import { define } from "../ui/view.ts";

interface Data {
  classes: RetentionClass[];
  hall: Hall;
  missing: number[];
}

class KeepingPage extends DataPage<Data> {
  protected async load(): Promise<Data> {
    const [classes, hall, years] = await Promise.all([
      api.get<{ classes: RetentionClass[] }>("/api/retention-classes"),
      api.get<Hall>("/api/hall"),
      api.get<CalendarYears>("/api/calendar"),
    ]);
    return { classes: classes.classes, hall, missing: years.missing };
  }

  protected override view({ classes, hall, missing }: Data) {
    const manage = store.has("hall_admin");
    return html`${planHead(
        missing,
        manage
          ? html`<button type="button" class="primary" data-action="add-class" @click=${() => void this.#edit(null)}>
              ${icon("plus", 16)}${t("keeping.add")}
            </button>`
          : "",
      )}
      <p class="hint above">${t("keeping.hint", { days: hall.video_days })}</p>
      <div class="card flush scrolls">
        <table class="table rows">
          <thead>
            <tr>
              <th>${t("keeping.name")}</th>
              <th>${t("keeping.days")}</th>
              <th>${t("keeping.basis")}</th>
              <th>${t("keeping.cameras")}</th>
              ${manage ? html`<th></th>` : ""}
            </tr>
          </thead>
          <tbody>
            <tr>
              <td class="strong">${t("keeping.hall")}</td>
              <td class="num">${hall.video_days} ${t("unit.days")}</td>
              <td class="dim">${t("keeping.hall_basis")}</td>
              <td>${t("keeping.all")}</td>
              ${manage ? html`<td></td>` : ""}
            </tr>
            ${classes.map((one) => this.#row(one, manage))}
          </tbody>
        </table>
      </div>`;
  }

  #row(one: RetentionClass, manage: boolean) {
    return html`<tr data-class=${one.id}>
      <td class="strong">${one.name}</td>
      <td class="num">${one.days} ${t("unit.days")}</td>
      <td>${one.basis || html`<span class="dim">—</span>`}</td>
      <td class="num">${t("plans.cameras", { n: one.cameras })}</td>
      ${manage
        ? html`<td class="actions">
            <button type="button" class="ghost" @click=${() => void this.#edit(one)}>${t("do.edit")}</button
            ><button
              type="button"
              class="ghost danger"
              ?disabled=${one.cameras > 0}
              title=${one.cameras > 0 ? t("keeping.used_hint") : ""}
              @click=${() => void this.#remove(one)}
            >
              ${t("do.remove")}
            </button>
          </td>`
        : ""}
    </tr>`;
  }

  async #remove(one: RetentionClass): Promise<void> {
    if (!(await confirmed(t("keeping.remove"), t("keeping.remove_confirm", { name: one.name }), t("do.remove"))))
      return;
    await this.change(() => api.delete(`/api/retention-classes/${one.id}`), t("do.saved"));
  }

  async #edit(one: RetentionClass | null): Promise<void> {
    const form = { name: one?.name ?? "", days: String(one?.days ?? 90), basis: one?.basis ?? "" };
    await this.edit({
      title: () => (one ? t("keeping.edit", { name: one.name }) : t("keeping.add")),
      check: () => (form.name.trim() ? "" : t("rule.name_empty")),
      save: () => {
        const body = { name: form.name.trim(), days: Number(form.days), basis: form.basis.trim() };
        return one ? api.patch(`/api/retention-classes/${one.id}`, body) : api.post("/api/retention-classes", body);
      },
      body: () =>
        html`${field({
          label: t("keeping.name"),
          name: "name",
          value: form.name,
          autofocus: true,
          placeholder: t("keeping.name_placeholder"),
          change: (value) => {
            form.name = value;
          },
        })}
        ${field({
          label: t("keeping.days"),
          name: "days",
          type: "number",
          min: "1",
          value: form.days,
          suffix: t("unit.days"),
          change: (value) => {
            form.days = value;
          },
        })}
        ${area(
          t("keeping.basis"),
          "basis",
          form.basis,
          (value) => {
            form.basis = value;
          },
          t("keeping.basis_hint"),
          { rows: 2 },
        )}`,
    });
  }
}

define("page-keeping", KeepingPage);
