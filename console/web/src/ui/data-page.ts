import { html, type TemplateResult } from "lit";
import { ApiError } from "../core/api.ts";
import { errorText, t } from "../i18n/index.ts";
import { toast } from "./dialog.ts";
import { formDialog, type FormOptions } from "./form-dialog.ts";
import { icon } from "./icons.ts";
import { View } from "./view.ts";

/** A page that shows what the server answers: loads at once, again every `refreshMs`, and says when it cannot. */
export abstract class DataPage<T> extends View {
  protected data: T | null = null;
  protected fault = "";
  protected refreshMs = 0;
  #timer: number | undefined;

  protected abstract load(): Promise<T>;
  protected abstract view(data: T): TemplateResult;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.refresh();
    if (this.refreshMs > 0)
      this.#timer = window.setInterval(() => !document.hidden && void this.refresh(), this.refreshMs);
  }

  override disconnectedCallback(): void {
    window.clearInterval(this.#timer);
    super.disconnectedCallback();
  }

  async refresh(): Promise<void> {
    try {
      this.data = await this.load();
      this.fault = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.fault = errorText(error.code, error.fields);
    }
    this.requestUpdate();
  }

  /** Runs a change, says when it failed, and loads again; false on failure. */
  protected async change(act: () => Promise<unknown>, done = ""): Promise<boolean> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(errorText(error.code, error.fields), "bad");
      return false;
    }
    if (done) toast(done);
    await this.refresh();
    return true;
  }

  /** Shows a form; when it was sent, says so and loads again. */
  protected async edit(form: FormOptions, done = t("do.saved")): Promise<boolean> {
    if (!(await formDialog(form))) return false;
    if (done) toast(done);
    await this.refresh();
    return true;
  }

  protected override render(): TemplateResult {
    if (this.data !== null) return this.view(this.data);
    if (this.fault) {
      return html`<div class="empty-state">
        ${icon("problem", 36)}
        <h2>${this.fault}</h2>
        <button type="button" @click=${() => void this.refresh()}>${t("do.retry")}</button>
      </div>`;
    }
    return html`<div class="empty-state">
      <i class="spinner"></i>
      <p>${t("do.loading")}</p>
    </div>`;
  }
}
