// Modal dialogs on the page itself (no <dialog>: Chromium 86 has it, but its focus handling differs between versions).
import { html, render, type TemplateResult } from "lit";
import { t } from "../i18n/index.ts";
import { icon } from "./icons.ts";

export interface DialogHandle<T> {
  close(result: T | null): void;
  redraw(): void;
}

const FOCUSABLE = "input,select,textarea,button,a[href],[tabindex='0']";
let opened = 0;

/** Whether a dialog is open: pages leave their keys alone then. */
export function dialogOpen(): boolean {
  return opened > 0;
}

/** Shows a dialog and resolves with what it closed with; null when it was dismissed. */
export function openDialog<T>(
  title: () => string,
  body: (handle: DialogHandle<T>) => TemplateResult,
  options: { wide?: boolean; onClose?: () => void } = {},
): Promise<T | null> {
  return new Promise((resolve) => {
    const host = document.createElement("div");
    host.className = "veil";
    const before = document.activeElement;
    const close = (result: T | null): void => {
      opened -= 1;
      document.removeEventListener("keydown", onKey, true);
      host.remove();
      options.onClose?.();
      if (before instanceof HTMLElement) before.focus();
      resolve(result);
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close(null);
      } else if (event.key === "Tab") keepFocus(host, event);
    };
    const draw = (): void => {
      render(
        html`<section
          class="dialog ${options.wide ? "wide" : ""}"
          role="dialog"
          aria-modal="true"
          aria-label=${title()}
        >
          <header>
            <h2>${title()}</h2>
            <button class="ghost square" type="button" aria-label=${t("do.close")} @click=${() => close(null)}>
              ${icon("close")}
            </button>
          </header>
          ${body({ close, redraw: draw })}
        </section>`,
        host,
      );
    };
    opened += 1;
    document.body.append(host);
    document.addEventListener("keydown", onKey, true);
    draw();
    const first = host.querySelector<HTMLElement>("[autofocus]") ?? host.querySelectorAll<HTMLElement>(FOCUSABLE)[1];
    first?.focus();
  });
}

function keepFocus(host: HTMLElement, event: KeyboardEvent): void {
  const all = [...host.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((one) => !one.hasAttribute("disabled"));
  const first = all[0];
  const last = all[all.length - 1];
  if (!first || !last) return;
  if (event.shiftKey && document.activeElement === first) {
    event.preventDefault();
    last.focus();
  } else if (!event.shiftKey && document.activeElement === last) {
    event.preventDefault();
    first.focus();
  }
}

/** Asks before something that cannot be taken back. */
export async function confirmed(title: string, text: string, act: string): Promise<boolean> {
  const answer = await openDialog<boolean>(
    () => title,
    ({ close }) =>
      html`<div class="dialog-body"><p>${text}</p></div>
        <footer>
          <button type="button" @click=${() => close(null)}>${t("do.cancel")}</button>
          <button type="button" class="danger" @click=${() => close(true)}>${act}</button>
        </footer>`,
  );
  return answer === true;
}

let toastHost: HTMLElement | null = null;

/** A short message at the bottom of the screen. */
export function toast(text: string, kind: "good" | "bad" = "good"): void {
  if (!toastHost) {
    toastHost = document.createElement("div");
    toastHost.className = "toasts";
    toastHost.setAttribute("role", "status");
    document.body.append(toastHost);
  }
  const note = document.createElement("div");
  note.className = `toast ${kind}`;
  note.textContent = text;
  toastHost.append(note);
  window.setTimeout(() => note.remove(), kind === "bad" ? 8000 : 4000);
}
