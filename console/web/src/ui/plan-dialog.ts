// The dialog that changes the recording plans of one camera or of many: what differs is left alone until it is chosen,
// and what will change is listed before it is saved.
import { html, type TemplateResult } from "lit";
import { api } from "../core/api.ts";
import {
  changed,
  changesOf,
  concerned,
  modesAfter,
  outcome,
  PLAN_MODES,
  shared,
  STREAM_POLICIES,
} from "../core/plan.ts";
import { store } from "../core/session.ts";
import { momentText } from "../core/time.ts";
import type { PlanField, PlanRow, PlanValues } from "../core/types.ts";
import { code, t } from "../i18n/index.ts";
import { area, field, select, tick } from "./form.ts";
import { formDialog, type FormHandle } from "./form-dialog.ts";
import { icon } from "./icons.ts";
import { listText, valueText, type PlanNames } from "./plan-words.ts";

const DIFFERS = "?";
const NONE = "-";
const MOST_NAMED = 6;

/** Shows the dialog for these cameras and answers whether their plans were changed. */
export function editPlans(rows: readonly PlanRow[], names: PlanNames): Promise<boolean> {
  const form = new PlanForm(rows, names);
  return formDialog({
    title: () => form.title,
    body: (handle) => form.view(handle),
    foot: () => form.summary(),
    act: () => t("plans.save", { n: form.concerned }),
    ready: () => form.concerned > 0,
    save: () => form.save(),
    wide: true,
  });
}

class PlanForm {
  readonly #rows: readonly PlanRow[];
  readonly #names: PlanNames;
  #change: Partial<PlanValues> = {};

  constructor(rows: readonly PlanRow[], names: PlanNames) {
    this.#rows = rows;
    this.#names = names;
  }

  get #plans() {
    return this.#rows.map((one) => one.plan);
  }

  get concerned(): number {
    return concerned(this.#plans, this.#change);
  }

  get title(): string {
    const [only] = this.#rows;
    return this.#rows.length === 1 && only
      ? t("plans.edit_one", { name: only.name })
      : t("plans.edit_many", { n: this.#rows.length });
  }

  save(): Promise<unknown> {
    const [only] = this.#rows;
    if (this.#rows.length === 1 && only)
      return api.patch(`/api/cameras/${only.camera_id}/plan`, { ...this.#change, version: only.plan.version });
    return api.patch("/api/plans", { camera_ids: this.#rows.map((one) => one.camera_id), change: this.#change });
  }

  #value<F extends PlanField>(name: F): PlanValues[F] | undefined {
    return outcome(this.#plans, this.#change, name);
  }

  #setter<F extends PlanField>(name: F, handle: FormHandle): (value: PlanValues[F] | undefined) => void {
    return (value) => {
      this.#change = changed(this.#plans, this.#change, name, value);
      handle.redraw();
    };
  }

  view(handle: FormHandle): TemplateResult {
    const modes = modesAfter(this.#plans, this.#change);
    const timed = modes.every((mode) => mode === "periods" || mode === "event");
    return html`${this.#who()} ${this.#modes(handle)} ${timed ? this.#hours(handle) : ""}
      ${modes.every((mode) => mode === "event") ? this.#triggers(handle) : ""} ${timed ? this.#extension(handle) : ""}
      <div class="grid-3 even">
        ${this.#policy(handle)} ${this.#class(handle)}
        ${this.#number("keep_days", handle, { unit: t("unit.days"), hint: t("plans.keep_hint") })}
      </div>
      ${this.#sound(handle)}`;
  }

  #who(): TemplateResult | "" {
    if (this.#rows.length === 1) return "";
    const named = this.#rows.slice(0, MOST_NAMED).map((one) => one.name);
    const more = this.#rows.length - named.length;
    return html`<p class="hint">${listText(named)}${more > 0 ? ` ${t("plans.and_more", { n: more })}` : ""}</p>`;
  }

  #modes(handle: FormHandle): TemplateResult {
    const mode = this.#value("mode");
    const set = this.#setter("mode", handle);
    return html`<fieldset class="choices modes">
      <legend>${t("plans.mode")}${mode === undefined ? ` · ${t("plans.differs")}` : ""}</legend>
      ${PLAN_MODES.map(
        (one) =>
          html`<label class="choice ${mode === one ? "on" : ""}"
            ><input
              type="radio"
              name="mode"
              value=${one}
              ?autofocus=${mode === one}
              .checked=${mode === one}
              @change=${() => set(one)}
            /><span>${code("plan_mode", one)}<small>${t(`plans.mode_${one}`)}</small></span></label
          >`,
      )}
    </fieldset>`;
  }

  /** A list of which one is chosen; "differs" is offered only while it is so. */
  #choice<F extends "schedule_id" | "streams" | "retention_class_id">(
    name: F,
    choices: { value: string; text: string }[],
    handle: FormHandle,
    hint = "",
  ): TemplateResult {
    const value = this.#value(name);
    const set = this.#setter(name, handle);
    const mixed = shared(this.#plans, name) === undefined;
    return select(
      t(`plan_field.${name}`),
      name,
      value === undefined ? DIFFERS : (value ?? NONE),
      mixed ? [{ value: DIFFERS, text: t("plans.differs") }, ...choices] : choices,
      (chosen) => set((chosen === DIFFERS ? undefined : chosen === NONE ? null : chosen) as PlanValues[F] | undefined),
      hint,
    );
  }

  #hours(handle: FormHandle): TemplateResult {
    const event = modesAfter(this.#plans, this.#change).every((mode) => mode === "event");
    const choices = this.#names.schedules.map((one) => ({ value: one.id, text: one.name }));
    return html`<div class="grid-2">
      ${this.#choice(
        "schedule_id",
        [{ value: NONE, text: event ? t("plans.any_time") : t("plans.no_schedule") }, ...choices],
        handle,
        event ? t("plans.schedule_event_hint") : t("plans.schedule_hint"),
      )}
    </div>`;
  }

  #triggers(handle: FormHandle): TemplateResult {
    return html`<div class="tick-row">
        ${this.#flag("on_visit", handle)} ${this.#flag("on_motion", handle)}
        ${this.#value("on_visit") === false && this.#value("on_motion") === false
          ? html`<p class="warn">${icon("problem", 16)}${t("plans.no_trigger_warning")}</p>`
          : ""}
      </div>
      <div class="grid-2">
        ${this.#number("pre_roll_s", handle, { unit: t("unit.seconds"), hint: t("plans.pre_hint"), most: 60 })}
        ${this.#number("post_roll_s", handle, { unit: t("unit.seconds"), hint: t("plans.post_hint"), most: 600 })}
      </div>`;
  }

  #extension(handle: FormHandle): TemplateResult {
    return html`<div class="tick-row">${this.#flag("extend_visits", handle)}</div>
      ${this.#value("extend_visits") === false
        ? ""
        : html`<div class="grid-2">
            ${this.#number("extend_after_s", handle, { unit: t("unit.minutes"), scale: 60, most: 60 })}
            ${this.#number("extend_cap_s", handle, { unit: t("unit.minutes"), scale: 60, most: 240 })}
          </div>`}`;
  }

  #policy(handle: FormHandle): TemplateResult {
    const without = this.#rows.filter((one) => !one.has_sub).length;
    const wanted = this.#value("streams");
    return this.#choice(
      "streams",
      STREAM_POLICIES.map((one) => ({ value: one, text: code("stream_policy_short", one) })),
      handle,
      without > 0 && (wanted === "sub" || wanted === "both")
        ? t("plans.without_sub", { n: without })
        : wanted === "auto"
          ? t("plans.auto_hint")
          : "",
    );
  }

  #class(handle: FormHandle): TemplateResult {
    const choices = this.#names.classes.map((one) => ({
      value: one.id,
      text: `${one.name} · ${one.days} ${t("unit.days")}`,
    }));
    return this.#choice("retention_class_id", [{ value: NONE, text: t("plans.no_class") }, ...choices], handle);
  }

  #sound(handle: FormHandle): TemplateResult {
    const audio = this.#value("audio");
    const [only] = this.#rows;
    return html`<fieldset class="sound-block ${audio ? "on" : ""}">
      <legend>${t("plan_field.audio")}</legend>
      ${this.#flag("audio", handle)}
      ${audio === false
        ? html`<p class="hint">${t("plans.audio_off_hint")}</p>`
        : html`<p class="warn">${icon("sound", 16)}<span>${t("plans.audio_warning")}</span></p>
            ${area(
              t("plan_field.audio_basis"),
              "audio_basis",
              this.#value("audio_basis") ?? "",
              this.#setter("audio_basis", handle),
              t("plans.basis_hint"),
              {
                rows: 2,
                placeholder: t("plans.basis_placeholder"),
                error: handle.refused === "audio_basis" ? t("error.audio_basis_missing") : "",
              },
            )}
            ${this.#rows.length === 1 && only?.plan.audio && only.plan.audio_us
              ? html`<p class="hint">
                  ${t("plans.audio_since", {
                    at: momentText(only.plan.audio_us, store.zone),
                    by: only.plan.audio_by ?? "—",
                  })}
                </p>`
              : ""}`}
    </fieldset>`;
  }

  #flag(name: "on_visit" | "on_motion" | "extend_visits" | "audio", handle: FormHandle): TemplateResult {
    return tick(t(`plan_tick.${name}`), name, this.#value(name), this.#setter(name, handle));
  }

  #number(
    name: "pre_roll_s" | "post_roll_s" | "extend_after_s" | "extend_cap_s" | "keep_days",
    handle: FormHandle,
    about: { unit: string; hint?: string; scale?: number; most?: number },
  ): TemplateResult {
    const value = this.#value(name);
    const scale = about.scale ?? 1;
    const set = this.#setter(name, handle);
    return field({
      label: t(`plan_field.${name}`),
      name,
      type: "number",
      min: "0",
      max: String(about.most ?? 3660),
      value: value === undefined ? "" : String(value / scale),
      placeholder: value === undefined ? t("plans.differs") : "",
      suffix: about.unit,
      hint: about.hint ?? "",
      error: handle.refused === name ? t("error.out_of_range") : "",
      change: (text) => set(text === "" || Number.isNaN(Number(text)) ? undefined : Math.round(Number(text) * scale)),
    });
  }

  /** What saving would do. */
  summary(): TemplateResult {
    const changes = changesOf(this.#plans, this.#change);
    if (changes.length === 0) return html`<p class="change-list hint" data-changes>${t("plans.no_change")}</p>`;
    return html`<section class="change-list" data-changes aria-live="polite">
      <h3>${t("plans.will_change", { n: this.concerned })}</h3>
      <ul>
        ${changes.map(
          (one) =>
            html`<li>
              <span>${t(`plan_field.${one.field}`)}</span>
              <s>${listText(one.from.map((value) => valueText(one.field, value, this.#names)))}</s>
              <b>→ ${valueText(one.field, one.to, this.#names)}</b>
              ${this.#rows.length > 1 ? html`<small>${t("plans.cameras", { n: one.cameras })}</small>` : ""}
            </li>`,
        )}
      </ul>
    </section>`;
  }
}
