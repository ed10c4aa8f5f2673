// What the gateway measures of a camera, in words: its clock, what reads it, rates, loss and the last fault.
import { html } from "lit";
import { clockWords } from "../core/camera-clock.ts";
import type { SeenStream, StateSince, StreamCounters } from "../core/types.ts";
import { code, noteText, t } from "../i18n/index.ts";
import { causeText } from "../live/tile.ts";

interface Offset {
  offset_us: number;
  error_us: number;
}

/** 「摄像头时钟快75秒」 */
export function cameraClockText({ offset_us, error_us }: Offset): string {
  const { kind, amount, unit } = clockWords(offset_us, error_us);
  return t(`camera.clock_${kind}`, { by: t(`unit.${unit}`, { n: amount }) });
}

/** The clock with its error; a warning when it is surely off. */
export function clockFact(offset: Offset) {
  const { off } = clockWords(offset.offset_us, offset.error_us);
  const text = cameraClockText(offset);
  return html`${off ? html`<em class="flag">${text}</em>` : text}
    <small>± ${Math.round(offset.error_us / 1000)} ms</small>`;
}

/** `25.0 fps · 3.4 Mbit/s · TCP` */
export function measuredText(seen: SeenStream): string {
  const parts: string[] = [];
  if (seen.fps_milli > 0) parts.push(`${(seen.fps_milli / 1000).toFixed(1)} fps`);
  if (seen.bitrate_kbit > 0) parts.push(`${(seen.bitrate_kbit / 1000).toFixed(1)} Mbit/s`);
  if (seen.transport) parts.push(seen.transport.toUpperCase());
  return parts.join(" · ");
}

/** Whether a camera can be seen live. One that nobody reads because its plan says so is opened when somebody watches. */
export function liveState({ state, cause }: StateSince) {
  const resting = state !== "live" && cause === "plan";
  const look = resting ? "planned" : state;
  return html`<span class="state ${look}"
      ><i class="dot ${look}"></i>${resting ? t("cameras.resting") : code("live", state)}</span
    >${state === "live"
      ? ""
      : html`<small>${resting ? t("cameras.resting_hint") : cause ? causeText(cause) : ""}</small>`}`;
}

/** Whether a camera is recorded. Outside its plan is no fault: it has no alarm's colour, and says why. */
export function recordingState({ state, cause }: StateSince) {
  const [look, dot] =
    state === "recorded" ? ["live", "rec"] : state === "plan" ? ["planned", "planned"] : ["offline", "offline"];
  const text = state === "recorded" ? t("cameras.recorded") : state ? code("gap", state) : "—";
  return html`<span class="state ${look}"><i class="dot ${dot}"></i>${text}</span>${state === "plan" && cause
      ? html`<small class="plan-reason">${noteText(cause)}</small>`
      : ""}`;
}

/** What is measured and counted of a stream, a line each. */
export function streamHealth(seen: SeenStream | null, counted: StreamCounters | undefined) {
  return html`${seen && measuredText(seen)
    ? html`<div class="num" data-fact="measured">
        ${t("camera.measured")}
        ${measuredText(seen)}${counted && counted.gop_ms > 0
          ? ` · ${t("device.gop")} ${(counted.gop_ms / 1000).toFixed(1)} s`
          : ""}
      </div>`
    : ""}
  ${seen?.engine
    ? html`<div data-fact="engine">
        ${t("camera.engine")}
        ${code("engine", seen.engine)}${seen.engine_note ? html` <small>${seen.engine_note}</small>` : ""}
      </div>`
    : ""}
  ${counted
    ? html`<div class="num" data-fact="loss">
        ${t("camera.loss", {
          lost: counted.lost,
          packets: counted.packets + counted.lost,
          frames: counted.broken_units,
          reconnects: counted.reconnects,
        })}
      </div>`
    : ""}
  ${counted?.last_cause
    ? html`<div data-fact="cause">
        ${t("camera.last_fault")} ${causeText(counted.last_cause)} <small>${counted.last_evidence}</small>
      </div>`
    : ""}`;
}
