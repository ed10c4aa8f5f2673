// The timeline on a canvas: ruler, steps, a row per camera and per screen, one playhead through all.
import { layoutCoverage, spanAt, type CoverageClass } from "../core/coverage.ts";
import { clockText, minuteText, preciseText } from "../core/time.ts";
import type { CoverageSpan, TimelineStep } from "../core/types.ts";
import { code, noteText, t } from "../i18n/index.ts";
import { stateText } from "../ui/coverage-bar.ts";
import { clampView, follow, panBy, ticksOf, usOf, xOf, zoomAt, type TimeView } from "./timeline.ts";
import type { MasterClock } from "./master.ts";

export interface Row {
  kind: "steps" | "camera" | "screen";
  coverage: readonly CoverageSpan[];
  pictures?: readonly number[];
  dimmed?: boolean;
}

export const ROW = 30;
export const RULER = 26;

const COLOURS: Record<CoverageClass, string> = {
  ok: "#2f9470",
  still: "#9fd3bd",
  bad: "#d2403f",
  warn: "#e0a02c",
  quiet: "#c9d3dd",
  pending: "#b9dccd",
  future: "#e9eef3",
};

export class Strip {
  readonly canvas = document.createElement("canvas");
  readonly tip = document.createElement("div");
  readonly #master: MasterClock;
  readonly #zone: string;
  #rows: readonly Row[] = [];
  #steps: readonly TimelineStep[] = [];
  #view: TimeView;
  #dragging = false;
  #panning: number | null = null;
  #wasPlaying = false;
  #hoverX: number | null = null;
  #hoverRow = -1;

  constructor(master: MasterClock, zone: string) {
    this.#master = master;
    this.#zone = zone;
    this.#view = { t0: master.t0, t1: master.t1, width: 1000 };
    this.canvas.className = "strip";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "slider");
    this.tip.className = "strip-tip";
    this.tip.hidden = true;
    this.#listen();
  }

  get view(): TimeView {
    return this.#view;
  }

  setRows(rows: readonly Row[], steps: readonly TimelineStep[]): void {
    this.#rows = rows;
    this.#steps = steps;
  }

  zoom(factor: number): void {
    this.#view = zoomAt(this.#view, this.#master.nowUs, factor, this.#master.t0, this.#master.t1);
  }

  fit(): void {
    this.#view = { ...this.#view, t0: this.#master.t0, t1: this.#master.t1 };
  }

  /** Draws now; call at each animation frame. */
  draw(): void {
    const width = this.canvas.clientWidth;
    const height = RULER + this.#rows.length * ROW;
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    this.#view = clampView({ ...this.#view, width }, this.#master.t0, this.#master.t1);
    if (this.#master.running && !this.#dragging)
      this.#view = follow(this.#view, this.#master.nowUs, this.#master.t0, this.#master.t1);
    const pen = this.canvas.getContext("2d");
    if (!pen) return;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.#drawRuler(pen, width, height);
    this.#rows.forEach((row, index) => this.#drawRow(pen, row, RULER + index * ROW, width));
    this.#drawHover(pen, height);
    this.#drawPlayhead(pen, height);
    this.#tell();
  }

  #drawRuler(pen: CanvasRenderingContext2D, width: number, height: number): void {
    pen.fillStyle = "#f7f9fb";
    pen.fillRect(0, 0, width, RULER);
    pen.font = '11px "Noto Sans SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif';
    pen.textBaseline = "middle";
    const fine = this.#view.t1 - this.#view.t0 < 20 * 60_000_000;
    for (const at of ticksOf(this.#view)) {
      const x = Math.round(xOf(this.#view, at)) + 0.5;
      pen.strokeStyle = "#e3e9ef";
      pen.beginPath();
      pen.moveTo(x, RULER);
      pen.lineTo(x, height);
      pen.stroke();
      pen.fillStyle = "#64748a";
      pen.fillText(fine ? clockText(at, this.#zone) : minuteText(at, this.#zone), x + 4, RULER / 2);
    }
    pen.fillStyle = "#dbe2ea";
    pen.fillRect(0, RULER - 1, width, 1);
  }

  #drawRow(pen: CanvasRenderingContext2D, row: Row, y: number, width: number): void {
    pen.fillStyle = "#edf1f5";
    pen.fillRect(0, y + ROW - 1, width, 1);
    if (row.kind === "steps") {
      this.#drawSteps(pen, y);
      return;
    }
    pen.globalAlpha = row.dimmed ? 0.4 : 1;
    for (const bar of layoutCoverage(row.coverage, this.#view.t0, this.#view.t1, width, 2)) {
      pen.fillStyle = COLOURS[bar.kind];
      pen.fillRect(bar.x, y + 7, bar.width, ROW - 15);
      if (bar.width > 46 && (bar.kind === "bad" || bar.kind === "warn" || bar.kind === "quiet")) {
        pen.fillStyle = bar.kind === "quiet" ? "#435263" : "#ffffff";
        pen.save();
        pen.beginPath();
        pen.rect(bar.x, y, bar.width - 4, ROW);
        pen.clip();
        pen.fillText(stateText(bar.span.state), bar.x + 6, y + ROW / 2);
        pen.restore();
      }
    }
    if (row.pictures) this.#drawPictures(pen, row.pictures, y);
    pen.globalAlpha = 1;
  }

  #drawPictures(pen: CanvasRenderingContext2D, pictures: readonly number[], y: number): void {
    pen.fillStyle = "rgba(9, 48, 36, 0.55)";
    for (const at of pictures) {
      if (at < this.#view.t0 || at > this.#view.t1) continue;
      pen.fillRect(Math.round(xOf(this.#view, at)), y + 7, 1, ROW - 15);
    }
  }

  /** Marks first, then as much of each label as fits before the next mark. */
  #drawSteps(pen: CanvasRenderingContext2D, y: number): void {
    const marks = this.#steps.map((step) => ({ step, x: xOf(this.#view, step.event_us) }));
    marks.forEach(({ step, x }, index) => {
      if (x < -200 || x > this.#view.width + 10) return;
      pen.fillStyle = "#1657a8";
      pen.beginPath();
      pen.moveTo(x, y + 9);
      pen.lineTo(x + 6, y + 15);
      pen.lineTo(x, y + 21);
      pen.lineTo(x - 6, y + 15);
      pen.fill();
      const room = (marks[index + 1]?.x ?? this.#view.width) - x - 18;
      const kind = code("event", step.kind);
      const text = [step.step ? `${kind} ${step.step}` : kind, kind].find((one) => pen.measureText(one).width <= room);
      if (!text) return;
      pen.fillStyle = "#14202c";
      pen.fillText(text, x + 9, y + 15);
    });
  }

  #drawHover(pen: CanvasRenderingContext2D, height: number): void {
    if (this.#hoverX === null) return;
    pen.fillStyle = "rgba(20, 32, 44, 0.25)";
    pen.fillRect(Math.round(this.#hoverX), 0, 1, height);
  }

  #drawPlayhead(pen: CanvasRenderingContext2D, height: number): void {
    const x = Math.round(xOf(this.#view, this.#master.nowUs));
    pen.fillStyle = "#c8352f";
    pen.fillRect(x - 1, 0, 2, height);
    pen.beginPath();
    pen.moveTo(x - 6, 0);
    pen.lineTo(x + 6, 0);
    pen.lineTo(x + 6, 7);
    pen.lineTo(x, 14);
    pen.lineTo(x - 6, 7);
    pen.fill();
  }

  #tell(): void {
    this.canvas.setAttribute("aria-label", t("review.timeline"));
    this.canvas.setAttribute("aria-valuemin", String(this.#master.t0));
    this.canvas.setAttribute("aria-valuemax", String(this.#master.t1));
    this.canvas.setAttribute("aria-valuenow", String(this.#master.nowUs));
    this.canvas.setAttribute("aria-valuetext", preciseText(this.#master.nowUs, this.#zone));
  }

  #listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => {
      this.#hoverX = null;
      this.tip.hidden = true;
    });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || event.shiftKey) {
      this.#panning = event.offsetX;
      return;
    }
    if (event.button !== 0) return;
    this.#dragging = true;
    this.#wasPlaying = this.#master.playing;
    this.#master.pause();
    this.#master.seek(usOf(this.#view, event.offsetX));
  }

  #move(event: PointerEvent): void {
    this.#hoverX = event.offsetX;
    this.#hoverRow = Math.floor((event.offsetY - RULER) / ROW);
    if (this.#panning !== null) {
      this.#view = panBy(this.#view, this.#panning - event.offsetX, this.#master.t0, this.#master.t1);
      this.#panning = event.offsetX;
    } else if (this.#dragging) this.#master.seek(usOf(this.#view, event.offsetX));
    this.#showTip(event);
  }

  #up(event: PointerEvent): void {
    this.canvas.releasePointerCapture(event.pointerId);
    this.#panning = null;
    if (!this.#dragging) return;
    this.#dragging = false;
    if (this.#wasPlaying) this.#master.play();
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.#view = panBy(this.#view, event.deltaX, this.#master.t0, this.#master.t1);
      return;
    }
    const factor = event.deltaY < 0 ? 1.25 : 0.8;
    this.#view = zoomAt(this.#view, usOf(this.#view, event.offsetX), factor, this.#master.t0, this.#master.t1);
  }

  #showTip(event: PointerEvent): void {
    const us = usOf(this.#view, event.offsetX);
    const row = this.#rows[this.#hoverRow];
    const span = row && row.kind !== "steps" ? spanAt(row.coverage, us) : null;
    const detail = span?.detail ? ` · ${noteText(span.detail)}` : "";
    this.tip.textContent = `${preciseText(us, this.#zone)}${span ? `\n${stateText(span.state)}${detail}\n${clockText(span.t0_us, this.#zone)} – ${clockText(span.t1_us, this.#zone)}` : ""}`;
    this.tip.hidden = false;
    this.tip.style.transform = `translate(${Math.min(event.offsetX + 12, this.#view.width - 190)}px, ${event.offsetY + 16}px)`;
  }
}
