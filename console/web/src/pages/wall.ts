import { html } from "lit";
import { api, ApiError } from "../core/api.ts";
import { exposeTiles } from "../core/debug.ts";
import { listenKeys } from "../core/keys.ts";
import { store } from "../core/session.ts";
import type { Camera } from "../core/types.ts";
import { code, errorText, t } from "../i18n/index.ts";
import { place, qualityFor, readLayout, WALL_SIZES, type Layout, type WallSize } from "../live/layout.ts";
import { openLive } from "../live/open.ts";
import type { LiveSocket } from "../live/socket.ts";
import { Tile, windowsLabel } from "../live/tile.ts";
import { dialogOpen } from "../ui/dialog.ts";
import { icon } from "../ui/icons.ts";
import { askPurpose, requirePurpose } from "../ui/purpose.ts";
import { define, View } from "../ui/view.ts";

const HIDDEN_MS = 5000;
const TICK_MS = 250;

class WallPage extends View {
  #cameras: Camera[] = [];
  #layout: Layout = { size: 4, slots: [] };
  #tiles: Tile[] = [];
  #socket: LiveSocket | null = null;
  #enlarged: number | null = null;
  #selected = 0;
  #filter = "";
  #stats = false;
  #picker = true;
  #error = "";
  #waiting = true;
  #declined = false;
  #purpose = "";
  #timer: number | undefined;
  #hideTimer: number | undefined;
  #refresh: number | undefined;
  #stopKeys: () => void = () => undefined;
  readonly #visibility = (): void => this.#onVisibility();

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#visibility);
    this.#stopKeys = listenKeys(this.#keys(), () => !dialogOpen());
    void this.#begin();
  }

  override disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#visibility);
    window.clearInterval(this.#timer);
    window.clearInterval(this.#refresh);
    window.clearTimeout(this.#hideTimer);
    this.#stopKeys();
    for (const tile of this.#tiles) tile.destroy();
    this.#tiles = [];
    this.#socket?.stop();
    exposeTiles(null);
    super.disconnectedCallback();
  }

  async #begin(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#error = errorText(error.code, error.fields);
    }
    this.#waiting = false;
    this.requestUpdate();
    this.#declined = (await requirePurpose("live")) === null;
    this.requestUpdate();
    if (!this.#declined && this.isConnected) this.#start();
  }

  async #load(): Promise<void> {
    const answer = await api.get<{ cameras: Camera[] }>("/api/cameras");
    this.#cameras = answer.cameras.filter((one) => one.enabled);
    const ids = this.#cameras.map((one) => one.id);
    if (this.#tiles.length === 0) this.#layout = readLayout(localStorage.getItem(this.#key()), ids);
  }

  #key(): string {
    return `sunhall.wall.${store.session?.account.id ?? ""}`;
  }

  #start(): void {
    this.#socket = openLive();
    this.#tiles = Array.from({ length: 9 }, () => new Tile(this.#socket as LiveSocket));
    this.#tiles.forEach((tile, index) => this.#wire(tile, index));
    exposeTiles(() =>
      this.#tiles.filter((tile) => tile.camera !== null && tile.element.isConnected).map((tile) => tile.debug),
    );
    this.#socket.start();
    this.#timer = window.setInterval(() => this.#tiles.forEach((tile) => tile.tick(performance.now())), TICK_MS);
    this.#refresh = window.setInterval(() => void this.#reload(), 5_000);
    this.#apply();
  }

  async #reload(): Promise<void> {
    if (document.hidden) return;
    await this.#load().catch(() => undefined);
    this.#apply();
  }

  #wire(tile: Tile, index: number): void {
    tile.element.addEventListener("click", () => this.#activate(index));
    tile.element.addEventListener("focus", () => this.#select(index));
    tile.element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#activate(index);
    });
    tile.element.draggable = true;
    tile.element.addEventListener("dragstart", (event) => {
      if (tile.camera) event.dataTransfer?.setData("text/plain", tile.camera.id);
    });
    tile.element.addEventListener("dragover", (event) => event.preventDefault());
    tile.element.addEventListener("drop", (event) => {
      event.preventDefault();
      const camera = event.dataTransfer?.getData("text/plain");
      if (camera) this.#assign(index, camera);
    });
  }

  #activate(index: number): void {
    if (!this.#tiles[index]?.camera) {
      this.#select(index);
      this.#picker = true;
      this.requestUpdate();
      return;
    }
    this.#enlarged = this.#enlarged === index ? null : index;
    this.#apply();
  }

  #select(index: number): void {
    if (this.#selected === index) return;
    this.#selected = index;
    this.requestUpdate();
  }

  #assign(slot: number, camera: string | null): void {
    this.#layout = { ...this.#layout, slots: place(this.#layout.slots, slot, camera) };
    this.#remember();
    this.#apply();
  }

  #pick(camera: string): void {
    this.#assign(this.#selected, camera);
    this.#selected = (this.#selected + 1) % this.#layout.size;
    this.requestUpdate();
  }

  #resize(size: WallSize): void {
    this.#layout = { ...this.#layout, size };
    this.#enlarged = null;
    this.#selected = Math.min(this.#selected, size - 1);
    this.#remember();
    this.#apply();
  }

  #remember(): void {
    localStorage.setItem(this.#key(), JSON.stringify(this.#layout));
  }

  /** Puts the layout on the screen: which tile shows which camera, in which quality. */
  #apply(): void {
    this.requestUpdate();
    void this.updateComplete.then(() => {
      const grid = this.querySelector(".wall-grid");
      if (!grid) return;
      this.#tiles.forEach((tile, index) => this.#applyTile(grid, tile, index));
    });
  }

  #applyTile(grid: Element, tile: Tile, index: number): void {
    const shown = index < this.#layout.size;
    if (shown && tile.element.parentElement !== grid) grid.append(tile.element);
    if (!shown) tile.element.remove();
    tile.element.classList.toggle("enlarged", this.#enlarged === index);
    const camera = shown ? this.#cameras.find((one) => one.id === this.#layout.slots[index]) : undefined;
    tile.setQuality(qualityFor(this.#layout.size, this.#enlarged === index));
    tile.show(camera ?? null);
  }

  #onVisibility(): void {
    window.clearTimeout(this.#hideTimer);
    if (document.hidden)
      this.#hideTimer = window.setTimeout(() => this.#tiles.forEach((tile) => tile.suspend()), HIDDEN_MS);
    else this.#tiles.forEach((tile) => tile.resume());
  }

  #keys() {
    const step = (by: number) => (): void => {
      this.#selected = (this.#selected + by + this.#layout.size) % this.#layout.size;
      this.#tiles[this.#selected]?.element.focus();
      this.requestUpdate();
    };
    const columns = (): number => Math.sqrt(this.#layout.size);
    return {
      "1": () => this.#resize(1),
      "4": () => this.#resize(4),
      "9": () => this.#resize(9),
      i: () => this.#toggleStats(),
      c: () => this.#togglePicker(),
      f: () => this.#fullScreen(),
      escape: () => {
        this.#enlarged = null;
        this.#apply();
      },
      delete: () => this.#assign(this.#selected, null),
      arrowleft: step(-1),
      arrowright: step(1),
      arrowup: () => step(-columns())(),
      arrowdown: () => step(columns())(),
    };
  }

  #toggleStats(): void {
    this.#stats = !this.#stats;
    this.#tiles.forEach((tile) => tile.showStats(this.#stats));
    this.requestUpdate();
  }

  #togglePicker(): void {
    this.#picker = !this.#picker;
    this.requestUpdate();
  }

  #fullScreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.querySelector(".wall")?.requestFullscreen();
  }

  async #askAgain(): Promise<void> {
    const purpose = await askPurpose("live");
    if (!purpose) return;
    this.#declined = false;
    if (!this.#socket) this.#start();
    this.requestUpdate();
  }

  /** Another purpose holds for all tiles: the socket says it anew. */
  override updated(): void {
    const purpose = store.purpose?.id ?? "";
    if (this.#socket && purpose !== this.#purpose) this.#socket.restart();
    this.#purpose = purpose;
  }

  protected override render() {
    const { size } = this.#layout;
    return html`<div class="wall dark">
      <header class="wall-bar">
        <h1>${t("nav.wall")}</h1>
        <div class="segmented" role="group" aria-label=${t("wall.tiles")}>
          ${WALL_SIZES.map(
            (one) =>
              html`<button
                type="button"
                data-size=${one}
                aria-pressed=${size === one}
                title=${t("wall.size", { n: one })}
                @click=${() => this.#resize(one)}
              >
                ${icon(one === 1 ? "one" : one === 4 ? "four" : "nine")}<span>${one}</span>
              </button>`,
          )}
        </div>
        <span class="spring"></span>
        <button type="button" class="ghost" aria-pressed=${this.#stats} @click=${() => this.#toggleStats()}>
          ${icon("info")}${t("wall.stats")}<kbd>I</kbd>
        </button>
        <button type="button" class="ghost" aria-pressed=${this.#picker} @click=${() => this.#togglePicker()}>
          ${icon("list")}${t("wall.cameras")}<kbd>C</kbd>
        </button>
        <button type="button" class="ghost" @click=${() => this.#fullScreen()}>
          ${icon("full")}${t("wall.full")}<kbd>F</kbd>
        </button>
      </header>
      <div class="wall-main">
        ${this.#declined || this.#error
          ? this.#blocked()
          : html`<div class="wall-grid n${size} ${this.#enlarged === null ? "" : "one-large"}"></div>`}
        ${this.#picker ? this.#pickerPanel() : ""}
      </div>
    </div>`;
  }

  #blocked() {
    if (this.#error) return html`<div class="empty-state"><h2>${this.#error}</h2></div>`;
    return html`<div class="empty-state">
      ${icon("purpose", 36)}
      <h2>${t("wall.purpose_needed")}</h2>
      <p>${t("wall.purpose_why")}</p>
      <button type="button" class="primary" @click=${() => void this.#askAgain()}>${t("purpose.give")}</button>
    </div>`;
  }

  #pickerPanel() {
    const wanted = this.#filter.trim().toLowerCase();
    const shown = this.#cameras.filter(
      (one) => !wanted || `${one.name} ${one.windows.map((w) => w.name).join(" ")}`.toLowerCase().includes(wanted),
    );
    return html`<aside class="picker" aria-label=${t("wall.cameras")}>
      <label class="search"
        >${icon("search", 16)}<input
          type="search"
          placeholder=${t("wall.search")}
          .value=${this.#filter}
          @input=${(event: InputEvent) => {
            this.#filter = (event.target as HTMLInputElement).value;
            this.requestUpdate();
          }}
      /></label>
      <p class="hint">${t("wall.pick_hint", { n: this.#selected + 1 })}</p>
      <ul>
        ${shown.map((one) => {
          const slot = this.#layout.slots.slice(0, this.#layout.size).indexOf(one.id);
          return html`<li>
            <button
              type="button"
              class="pick ${slot >= 0 ? "on" : ""}"
              draggable="true"
              @dragstart=${(event: DragEvent) => event.dataTransfer?.setData("text/plain", one.id)}
              @click=${() => this.#pick(one.id)}
            >
              <i class="dot ${one.live.state}"></i
              ><span
                >${one.name}<small
                  >${one.live.state === "live" ? windowsLabel(one.windows) : code("live", one.live.state)}</small
                ></span
              >
              ${slot >= 0 ? html`<em>${slot + 1}</em>` : ""}
            </button>
          </li>`;
        })}
      </ul>
      ${!this.#waiting && this.#cameras.length === 0
        ? html`<div class="empty-small">
            <p>${t("wall.no_cameras")}</p>
            ${store.has("hall_admin")
              ? html`<a href="/cameras">${t("cameras.register")}</a>`
              : html`<small>${t("wall.no_cameras_hint")}</small>`}
          </div>`
        : ""}
    </aside>`;
  }
}

define("page-wall", WallPage);
