// Small pieces that every form uses.
import { html, type TemplateResult } from "lit";

export interface FieldOptions {
  label: string;
  name: string;
  value: string;
  change: (value: string) => void;
  type?: string;
  hint?: string;
  error?: string;
  placeholder?: string;
  autocomplete?: string;
  autofocus?: boolean;
  min?: string;
  max?: string;
  suffix?: string;
  list?: string;
}

export function field(options: FieldOptions): TemplateResult {
  const hintId = `hint-${options.name}`;
  return html`<label class="field ${options.error ? "wrong" : ""}">
    <span>${options.label}</span>
    <span class="control">
      <input
        name=${options.name}
        type=${options.type ?? "text"}
        .value=${options.value}
        ?autofocus=${options.autofocus ?? false}
        placeholder=${options.placeholder ?? ""}
        autocomplete=${(options.autocomplete ?? "off") as "off"}
        min=${options.min ?? ""}
        max=${options.max ?? ""}
        list=${options.list ?? ""}
        spellcheck="false"
        aria-describedby=${hintId}
        aria-invalid=${options.error ? "true" : "false"}
        @input=${(event: InputEvent) => options.change((event.target as HTMLInputElement).value)}
      />
      ${options.suffix ? html`<em>${options.suffix}</em>` : ""}
    </span>
    <small id=${hintId} class=${options.error ? "error" : ""}>${options.error || options.hint || ""}</small>
  </label>`;
}

export function area(
  label: string,
  name: string,
  value: string,
  change: (value: string) => void,
  hint = "",
  options: { rows?: number; error?: string; placeholder?: string } = {},
): TemplateResult {
  return html`<label class="field ${options.error ? "wrong" : ""}">
    <span>${label}</span>
    <textarea
      name=${name}
      rows=${options.rows ?? 4}
      placeholder=${options.placeholder ?? ""}
      aria-invalid=${options.error ? "true" : "false"}
      .value=${value}
      @input=${(event: InputEvent) => change((event.target as HTMLTextAreaElement).value)}
    ></textarea>
    <small class=${options.error ? "error" : ""}>${options.error || hint}</small>
  </label>`;
}

export function select(
  label: string,
  name: string,
  value: string,
  choices: readonly { value: string; text: string }[],
  change: (value: string) => void,
  hint = "",
): TemplateResult {
  return html`<label class="field">
    <span>${label}</span>
    <select name=${name} .value=${value} @change=${(event: Event) => change((event.target as HTMLSelectElement).value)}>
      ${choices.map((one) => html`<option value=${one.value} ?selected=${one.value === value}>${one.text}</option>`)}
    </select>
    ${hint ? html`<small>${hint}</small>` : ""}
  </label>`;
}

/** A box to tick; `undefined` is shown as neither on nor off. */
export function tick(
  label: string,
  name: string,
  value: boolean | undefined,
  change: (value: boolean) => void,
): TemplateResult {
  return html`<label class="tick"
    ><input
      type="checkbox"
      name=${name}
      .checked=${value === true}
      .indeterminate=${value === undefined}
      @change=${(event: Event) => change((event.target as HTMLInputElement).checked)}
    />${label}</label
  >`;
}
