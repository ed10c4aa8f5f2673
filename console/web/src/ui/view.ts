import { LitElement } from "lit";
import { words } from "../i18n/index.ts";
import { store } from "../core/session.ts";

/** A page or part of one: light DOM (one stylesheet for all), redrawn when the language or the session changes. */
export class View extends LitElement {
  readonly #redraw = (): void => this.requestUpdate();

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    words.addEventListener("change", this.#redraw);
    store.addEventListener("change", this.#redraw);
  }

  override disconnectedCallback(): void {
    words.removeEventListener("change", this.#redraw);
    store.removeEventListener("change", this.#redraw);
    super.disconnectedCallback();
  }

  /** Sets plain fields and draws again. */
  protected put(change: Partial<this>): void {
    Object.assign(this, change);
    this.requestUpdate();
  }
}

/** Defines a custom element once (a second import of the same module must not throw). */
export function define(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}
