import { html } from "lit";
import { api } from "../core/api.ts";
import { PLAN_MODES, stretch } from "../core/plan.ts";
import { store } from "../core/session.ts";
import type { CalendarYears, PlanRow, PlansAnswer } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { windowsLabel } from "../live/tile.ts";
import { DataPage } from "../ui/data-page.ts";
import { toast } from "../ui/dialog.ts";
import { icon } from "../ui/icons.ts";
import { editPlans } from "../ui/plan-dialog.ts";
import { planHead } from "../ui/plan-head.ts";
import { hoursText, keepText, planNotes, type PlanNames } from "../ui/plan-words.ts";
import { define } from "../ui/view.ts";

interface Data extends PlansAnswer {
  missing: number[];
}

class PlansPage extends DataPage<Data> {
  #filter = "";
  #only = "all";
  #chosen = new Set<string>();
  #last = "";

  protected async load(): Promise<Data> {
    const [answer, years] = await Promise.all([
      api.get<PlansAnswer>("/api/plans"),
      api.get<CalendarYears>("/api/calendar"),
    ]);
    const known = new Set(answer.plans.map((one) => one.camera_id));
    this.#chosen = new Set([...this.#chosen].filter((id) => known.has(id)));
    return { ...answer, missing: years.missing };
  }

  #shown(data: Data): PlanRow[] {
    const wanted = this.#filter.trim().toLowerCase();
    return data.plans.filter((one) => {
      const text = `${one.name} ${one.windows.map((w) => w.name).join(" ")}`.toLowerCase();
      if (wanted && !text.includes(wanted)) return false;
      return this.#only === "all" || (this.#only === "audio" ? one.plan.audio : one.plan.mode === this.#only);
    });
  }

  async #edit(rows: readonly PlanRow[]): Promise<void> {
    if (!this.data || rows.length === 0) return;
    if (!(await editPlans(rows, namesOf(this.data)))) return;
    toast(t("plans.saved", { n: rows.length }));
    await this.refresh();
  }

  #choose(event: MouseEvent, id: string, shown: readonly PlanRow[]): void {
    const on = (event.target as HTMLInputElement).checked;
    const ids =
      event.shiftKey && this.#last
        ? stretch(
            shown.map((one) => one.camera_id),
            this.#last,
            id,
          )
        : [id];
    for (const one of ids) {
      if (on) this.#chosen.add(one);
      else this.#chosen.delete(one);
    }
    this.#last = id;
    this.requestUpdate();
  }

  #chooseAll(on: boolean, shown: readonly PlanRow[]): void {
    for (const one of shown) {
      if (on) this.#chosen.add(one.camera_id);
      else this.#chosen.delete(one.camera_id);
    }
    this.requestUpdate();
  }

  protected override view(data: Data) {
    const shown = this.#shown(data);
    const manage = store.has("hall_admin");
    const chosen = data.plans.filter((one) => this.#chosen.has(one.camera_id));
    return html`${planHead(data.missing)}
      <div class="tools">
        <label class="search"
          >${icon("search", 16)}<input
            type="search"
            aria-label=${t("plans.search")}
            placeholder=${t("plans.search")}
            .value=${this.#filter}
            @input=${(event: InputEvent) => {
              this.#filter = (event.target as HTMLInputElement).value;
              this.requestUpdate();
            }}
        /></label>
        <div class="segmented">
          ${["all", ...PLAN_MODES, "audio"].map(
            (one) =>
              html`<button
                type="button"
                aria-pressed=${this.#only === one}
                @click=${() => {
                  this.#only = one;
                  this.requestUpdate();
                }}
              >
                ${one === "all" || one === "audio" ? t(`plans.only_${one}`) : code("plan_mode", one)}
                <small>${count(data.plans, one)}</small>
              </button>`,
          )}
        </div>
        <span class="spring"></span>
        ${manage
          ? html`${chosen.length > 0
                ? html`<span class="dim">${t("plans.chosen", { n: chosen.length })}</span>
                    <button type="button" class="ghost" @click=${() => this.#chooseAll(false, data.plans)}>
                      ${t("plans.choose_none")}
                    </button>`
                : html`<span class="dim">${t("plans.choose_hint")}</span>`}
              <button
                type="button"
                class="primary"
                data-action="edit-chosen"
                ?disabled=${chosen.length === 0}
                @click=${() => void this.#edit(chosen)}
              >
                ${t("plans.edit_chosen")}
              </button>`
          : ""}
      </div>
      ${data.plans.length === 0
        ? html`<div class="empty-state">
            ${icon("plan", 40)}
            <h2>${t("cameras.none")}</h2>
          </div>`
        : shown.length === 0
          ? html`<div class="empty-state"><p>${t("do.nothing_found")}</p></div>`
          : this.#table(shown, data, manage)}`;
  }

  #table(shown: PlanRow[], data: Data, manage: boolean) {
    const all = shown.every((one) => this.#chosen.has(one.camera_id));
    const some = shown.some((one) => this.#chosen.has(one.camera_id));
    return html`<div class="card flush scrolls">
      <table class="table rows plans">
        <thead>
          <tr>
            ${manage
              ? html`<th class="pick">
                  <input
                    type="checkbox"
                    aria-label=${t("plans.choose_all")}
                    .checked=${all}
                    .indeterminate=${some && !all}
                    @change=${(event: Event) => this.#chooseAll((event.target as HTMLInputElement).checked, shown)}
                  />
                </th>`
              : ""}
            <th>${t("cameras.name")}</th>
            <th>${t("plans.mode")}</th>
            <th>${t("plans.hours")}</th>
            <th>${t("plan_field.streams")}</th>
            <th>${t("plans.keeps")}</th>
            <th>${t("plan_field.audio")}</th>
            ${manage ? html`<th></th>` : ""}
          </tr>
        </thead>
        <tbody>
          ${shown.map((one) => this.#row(one, shown, namesOf(data), manage))}
        </tbody>
      </table>
    </div>`;
  }

  #row(one: PlanRow, shown: readonly PlanRow[], names: PlanNames, manage: boolean) {
    const { plan } = one;
    const hours = hoursText(plan, one.windows.length, names);
    const notes = planNotes(plan);
    const chosen = this.#chosen.has(one.camera_id);
    return html`<tr class="${one.enabled ? "" : "muted"} ${chosen ? "chosen" : ""}" data-camera=${one.camera_id}>
      ${manage
        ? html`<td class="pick">
            <input
              type="checkbox"
              aria-label=${one.name}
              .checked=${chosen}
              @click=${(event: MouseEvent) => this.#choose(event, one.camera_id, shown)}
            />
          </td>`
        : ""}
      <td>
        <a class="strong" href="/cameras/${one.camera_id}">${one.name}</a>${one.enabled
          ? ""
          : html`<em class="flag">${t("cameras.disabled")}</em>`}
        <small>${windowsLabel(one.windows)}</small>
      </td>
      <td><span class="mode ${plan.mode}">${code("plan_mode", plan.mode)}</span></td>
      <td data-plan-hours>${hours || html`<span class="dim">—</span>`}<small>${notes.join(" · ")}</small></td>
      <td title=${code("stream_policy", plan.streams)}>${code("stream_policy_short", plan.streams)}</td>
      <td class="num">${plan.keeps_days} ${t("unit.days")}<small>${keepText(plan, names)}</small></td>
      <td>
        ${plan.audio
          ? html`<span class="state sound-on">${icon("sound", 16)}${t("plans.audio_on")}</span
              ><small class="basis" title=${plan.audio_basis}>${plan.audio_basis}</small>`
          : html`<span class="dim">${t("plans.audio_off")}</span>`}
      </td>
      ${manage
        ? html`<td class="actions">
            <button type="button" class="ghost" data-action="edit" @click=${() => void this.#edit([one])}>
              ${t("do.edit")}
            </button>
          </td>`
        : ""}
    </tr>`;
  }
}

function namesOf(data: PlansAnswer): PlanNames {
  return { schedules: data.schedules, classes: data.retention_classes };
}

function count(rows: readonly PlanRow[], only: string): number {
  if (only === "all") return rows.length;
  return rows.filter((one) => (only === "audio" ? one.plan.audio : one.plan.mode === only)).length;
}

define("page-plans", PlansPage);
