import { html, type TemplateResult } from "lit";
import { code, errorText, t } from "../i18n/index.ts";
import { icon } from "./icons.ts";

export const DEVICE_FAULTS = [
  "unreachable",
  "wrong_port",
  "not_a_camera",
  "onvif_disabled",
  "wrong_password",
  "account_locked",
  "clock_off",
  "address_not_allowed",
  "no_media",
  "unsupported_codec",
  "timeout",
  "protocol",
] as const;

/** Each fault in its own sentence, with what to do about it. */
export function faultView(fault: string): TemplateResult {
  const known = (DEVICE_FAULTS as readonly string[]).includes(fault);
  return html`<div class="fault" role="alert" data-fault=${fault}>
    ${icon("problem", 20)}
    <div>
      <strong>${known ? code("fault", fault) : errorText(fault)}</strong>${known
        ? html`<p>${t(`fault.${fault}_fix`)}</p>`
        : ""}
    </div>
  </div>`;
}
