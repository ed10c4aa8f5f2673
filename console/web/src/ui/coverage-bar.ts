// 记录完整度: a day (or a visit) as one bar, its hours below, and the list of gaps in words.
import { html, svg, type TemplateResult } from "lit";
import { gapsOf, layoutCoverage, recordedShare, type Bar } from "../core/coverage.ts";
import { clockText, minuteText, spanText } from "../core/time.ts";
import type { CoverageSpan } from "../core/types.ts";
import { code, noteText, t } from "../i18n/index.ts";

const WIDTH = 1000;

export function stateText(state: string): string {
  for (const list of ["coverage", "gap"]) {
    const text = code(list, state);
    if (text !== state) return text;
  }
  return state;
}

export function spanTitle(span: CoverageSpan, zone: string): string {
  const detail = span.detail ? ` · ${noteText(span.detail)}` : "";
  const length = spanText(span.t1_us - span.t0_us);
  return `${stateText(span.state)}${detail}\n${clockText(span.t0_us, zone)} – ${clockText(span.t1_us, zone)} (${length})`;
}

export interface BarFacts {
  spans: readonly CoverageSpan[];
  t0_us: number;
  t1_us: number;
  now_us: number;
}

export function coverageBar(facts: BarFacts, zone: string, height = 22): TemplateResult {
  const bars = layoutCoverage(facts.spans, facts.t0_us, facts.t1_us, WIDTH);
  const now = ((facts.now_us - facts.t0_us) / Math.max(1, facts.t1_us - facts.t0_us)) * WIDTH;
  return html`<div class="coverage" role="img" aria-label=${t("coverage.label", { share: shareText(facts) })}>
    <svg viewBox="0 0 ${WIDTH} ${height}" preserveAspectRatio="none" height=${height}>
      ${bars.map((bar) => rectangle(bar, height, zone))}
      ${now > 0 && now < WIDTH ? svg`<line class="now" x1=${now} x2=${now} y1="0" y2=${height}></line>` : ""}
    </svg>
    ${hours(facts, zone)}
  </div>`;
}

function rectangle(bar: Bar, height: number, zone: string) {
  return svg`<rect class="cov-${bar.kind}" data-state=${bar.span.state} x=${bar.x} y="0" width=${bar.width} height=${height}><title>${spanTitle(bar.span, zone)}</title></rect>`;
}

function hours(facts: BarFacts, zone: string): TemplateResult {
  const marks = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((part) => facts.t0_us + ((facts.t1_us - facts.t0_us) * part) / 8);
  return html`<div class="hours">
    ${marks.map(
      (at, index) =>
        html`<span>${index === 8 && facts.t1_us - facts.t0_us > 3.6e9 * 20 ? "24:00" : minuteText(at, zone)}</span>`,
    )}
  </div>`;
}

export function shareText(facts: BarFacts): string {
  const share = recordedShare(facts.spans, facts.now_us);
  if (share === null) return "—";
  // Never round up to 100 %: a gap is a gap.
  return share >= 1 ? "100%" : `${(Math.floor(share * 1000) / 10).toFixed(1)}%`;
}

/** How the share is coloured: good from 99 %, a warning from 95 %. */
export function shareClass(facts: BarFacts): string {
  const share = recordedShare(facts.spans, facts.now_us);
  if (share === null) return "none";
  return share >= 0.99 ? "good" : share >= 0.95 ? "fair" : "poor";
}

export function legend(kinds: readonly string[]): TemplateResult {
  return html`<ul class="legend">
    ${kinds.map((kind) => html`<li><i class="swatch cov-${kind}"></i>${t(`legend.${kind}`)}</li>`)}
  </ul>`;
}

export function gapList(facts: BarFacts, zone: string): TemplateResult {
  const gaps = gapsOf(facts.spans);
  if (gaps.length === 0) return html`<p class="hint">${t("coverage.no_gaps")}</p>`;
  return html`<table class="table compact">
    <thead>
      <tr>
        <th>${t("coverage.from")}</th>
        <th>${t("coverage.to")}</th>
        <th>${t("coverage.length")}</th>
        <th>${t("coverage.reason")}</th>
        <th>${t("coverage.detail")}</th>
      </tr>
    </thead>
    <tbody>
      ${gaps.map(
        (gap) =>
          html`<tr>
            <td class="num">${clockText(gap.t0_us, zone)}</td>
            <td class="num">${gap.t1_us >= facts.now_us ? t("coverage.still") : clockText(gap.t1_us, zone)}</td>
            <td class="num">${spanText(Math.min(gap.t1_us, facts.now_us) - gap.t0_us)}</td>
            <td>${stateText(gap.state)}</td>
            <td class="dim">${noteText(gap.detail)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
