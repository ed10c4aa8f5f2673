import { html } from "lit";
import { api, ApiError } from "../core/api.ts";
import { LEAST_PASSWORD, passwordFault } from "../core/rules.ts";
import { store } from "../core/session.ts";
import { errorText, t } from "../i18n/index.ts";
import { openDialog, toast } from "./dialog.ts";
import { field } from "./form.ts";

/** The signed-in person's own password. */
export async function changePassword(): Promise<void> {
  const form = { old: "", fresh: "", again: "", error: "" };
  const done = await openDialog<boolean>(
    () => t("account.change_password"),
    ({ close, redraw }) => {
      const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        const fault = passwordFault(form.fresh, form.again, store.session?.account.login ?? "");
        form.error = fault ? t(`rule.${fault}`, { least: LEAST_PASSWORD }) : "";
        if (!form.error) {
          try {
            await api.post("/api/session/password", { old: form.old, new: form.fresh });
            close(true);
            return;
          } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            form.error = errorText(error.code, error.fields);
          }
        }
        redraw();
      };
      return html`<form @submit=${submit}>
        <div class="dialog-body">
          ${field({
            label: t("account.old_password"),
            name: "old",
            type: "password",
            autocomplete: "current-password",
            value: form.old,
            change: (value) => {
              form.old = value;
            },
          })}
          ${field({
            label: t("account.new_password"),
            name: "fresh",
            type: "password",
            autocomplete: "new-password",
            hint: t("account.password_hint", { least: LEAST_PASSWORD }),
            value: form.fresh,
            change: (value) => {
              form.fresh = value;
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
          ${form.error ? html`<p class="error" role="alert">${form.error}</p>` : ""}
        </div>
        <footer>
          <button type="button" @click=${() => close(null)}>${t("do.cancel")}</button
          ><button class="primary">${t("do.save")}</button>
        </footer>
      </form>`;
    },
  );
  if (done) toast(t("account.password_changed"));
}
