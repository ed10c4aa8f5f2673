// A dialog with a form: fields, one line for what is wrong, cancel and save.
import { html, type TemplateResult } from "lit";
import { ApiError } from "../core/api.ts";
import { errorText, t } from "../i18n/index.ts";
import { openDialog } from "./dialog.ts";

export interface FormHandle {
  redraw(): void;
  /** The field that the server refused last, by its name; "" when it named none. */
  refused: string;
}

export interface FormOptions {
  title: () => string;
  body: (handle: FormHandle) => TemplateResult;
  /** What stays in sight between the fields and the buttons. */
  foot?: () => TemplateResult;
  /** What is wrong before the server is asked, in words; "" when it may be asked. */
  check?: () => string;
  /** Sends it. What the server refuses (ApiError) is shown in words and the dialog stays open. */
  save?: () => Promise<unknown>;
  /** The words on the button; 保存 without it. */
  act?: () => string;
  /** Whether there is anything to send; the button waits until then. */
  ready?: () => boolean;
  wide?: boolean;
}

/** Shows a form and answers whether it was sent. */
export async function formDialog(options: FormOptions): Promise<boolean> {
  let fault = "";
  let refused = "";
  let sending = false;
  const done = await openDialog<boolean>(
    options.title,
    ({ close, redraw }) => {
      const send = async (): Promise<void> => {
        try {
          await options.save?.();
          close(true);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          fault = errorText(error.code, error.fields);
          refused = String(error.fields["field"] ?? "");
        } finally {
          sending = false;
        }
      };
      const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (sending || !(options.ready?.() ?? true)) return;
        fault = options.check?.() ?? "";
        refused = "";
        sending = fault === "";
        redraw();
        if (sending) await send();
        redraw();
      };
      return html`<form @submit=${submit}>
        <div class="dialog-body">${options.body({ redraw, refused })}</div>
        ${options.foot?.() ?? ""} ${fault ? html`<p class="error form-error" role="alert">${fault}</p>` : ""}
        <footer>
          <button type="button" @click=${() => close(null)}>${t("do.cancel")}</button>
          <button class="primary" ?disabled=${sending || !(options.ready?.() ?? true)}>
            ${options.act?.() ?? t("do.save")}
          </button>
        </footer>
      </form>`;
    },
    options.wide ? { wide: true } : {},
  );
  return done === true;
}
