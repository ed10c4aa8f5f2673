import { html } from "lit";
import { api } from "../core/api.ts";
import { LEAST_PASSWORD, passwordFault } from "../core/rules.ts";
import { store } from "../core/session.ts";
import { t } from "../i18n/index.ts";
import { toast } from "./dialog.ts";
import { field } from "./form.ts";
import { formDialog } from "./form-dialog.ts";

/** The signed-in person's own password. */
export async function changePassword(): Promise<void> {
  const form = { old: "", fresh: "", again: "" };
  const done = await formDialog({
    title: () => t("account.change_password"),
    check: () => {
      const fault = passwordFault(form.fresh, form.again, store.session?.account.login ?? "");
      return fault ? t(`rule.${fault}`, { least: LEAST_PASSWORD }) : "";
    },
    save: () => api.post("/api/session/password", { old: form.old, new: form.fresh }),
    body: () =>
      html`${field({
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
      })}`,
  });
  if (done) toast(t("account.password_changed"));
}
