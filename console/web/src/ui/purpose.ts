// 调阅事由: asked before any footage, on record with a reference, remembered for the session.
import { html } from "lit";
import { api } from "../core/api.ts";
import { store } from "../core/session.ts";
import type { Purpose, RoleCode } from "../core/types.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { ApiError } from "../core/api.ts";
import { openDialog } from "./dialog.ts";

export const PURPOSE_CODES = ["complaint", "audit", "discipline", "patrol", "commissioning", "other"] as const;

export type FootageKind = "live" | "archive";

/** The purposes that these roles may give for this kind of footage. */
export function allowedPurposes(roles: readonly RoleCode[], kind: FootageKind): string[] {
  if (kind === "archive") {
    if (!roles.includes("supervisor") && !roles.includes("auditor")) return [];
    return PURPOSE_CODES.filter((one) => one !== "commissioning");
  }
  if (roles.includes("supervisor")) return [...PURPOSE_CODES];
  return roles.includes("hall_admin") ? ["commissioning"] : [];
}

/** The session's purpose when it fits, else asks for one; null when the user declined. */
export async function requirePurpose(kind: FootageKind): Promise<Purpose | null> {
  const allowed = allowedPurposes(store.roles, kind);
  if (allowed.length === 0) return null;
  if (store.purpose && allowed.includes(store.purpose.code)) return store.purpose;
  return askPurpose(kind);
}

export async function askPurpose(kind: FootageKind): Promise<Purpose | null> {
  const allowed = allowedPurposes(store.roles, kind);
  const form = { code: allowed[0] ?? "", reference: "", note: "", error: "", busy: false };
  return openDialog<Purpose>(
    () => t("purpose.title"),
    ({ close, redraw }) => {
      const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!form.reference.trim()) {
          form.error = t("purpose.reference_needed");
          redraw();
          return;
        }
        form.busy = true;
        redraw();
        try {
          const body = { code: form.code, reference: form.reference.trim(), note: form.note.trim() };
          const purpose = await api.post<Purpose>("/api/purposes", body);
          store.setPurpose(purpose);
          close(purpose);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          form.error = errorText(error.code, error.fields);
          form.busy = false;
          redraw();
        }
      };
      return html`<form class="purpose-form" @submit=${submit}>
        <div class="dialog-body">
          <p class="hint">${t("purpose.explain")}</p>
          <fieldset class="choices">
            <legend>${t("purpose.code")}</legend>
            ${allowed.map(
              (one) =>
                html`<label class="choice ${form.code === one ? "on" : ""}">
                  <input
                    type="radio"
                    name="code"
                    value=${one}
                    .checked=${form.code === one}
                    @change=${() => {
                      form.code = one;
                      redraw();
                    }}
                  />
                  <span>${code("purpose", one)}</span>
                </label>`,
            )}
          </fieldset>
          <label class="field">
            <span>${t("purpose.reference")}</span>
            <input
              name="reference"
              autofocus
              maxlength="120"
              autocomplete="off"
              placeholder=${t("purpose.reference_hint")}
              .value=${form.reference}
              @input=${(event: InputEvent) => {
                form.reference = (event.target as HTMLInputElement).value;
              }}
            />
          </label>
          <label class="field">
            <span>${t("purpose.note")}</span>
            <input
              name="note"
              maxlength="400"
              autocomplete="off"
              .value=${form.note}
              @input=${(event: InputEvent) => {
                form.note = (event.target as HTMLInputElement).value;
              }}
            />
          </label>
          ${form.error ? html`<p class="error" role="alert">${form.error}</p>` : ""}
        </div>
        <footer>
          <button type="button" @click=${() => close(null)}>${t("do.cancel")}</button>
          <button class="primary" ?disabled=${form.busy}>${t("purpose.confirm")}</button>
        </footer>
      </form>`;
    },
  );
}
