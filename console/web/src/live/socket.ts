// One WebSocket for all live pictures of this browser window.
import { parseControl, parseMedia, type Control, type Media } from "./protocol.ts";

export interface Subscriber {
  /** What to ask for; read again at each (re)connection. */
  request(): { camera: string; quality: "main" | "sub" | "auto"; keysOnly: boolean };
  control(message: Control): void;
  media(message: Media): void;
  /** The link to the console went up or down. */
  link(up: boolean): void;
}

export interface LinkSettings {
  url: string;
  purpose: () => string | null;
  /** Whether this browser shows H.265 as it is. */
  h265: boolean;
  /** Fed with the server's time from each pong. */
  clock: (sentMs: number, receivedMs: number, serverUs: number) => void;
  /** The session has ended. */
  signedOut: () => void;
}

/** Close codes of the console: the session ended; the role or purpose does not allow it (trying again is no use). */
const NOT_AUTHENTICATED = 4401;
const NOT_PERMITTED = 4403;
const PING_MS = 4000;
const SILENCE_MS = 9000;

/** Waiting time before the next try: 0.5 s doubling to 8 s. */
export function backoffMs(failures: number): number {
  return Math.min(8000, 500 * 2 ** Math.max(0, failures - 1));
}

/** Codes that concern the whole socket; others answer one odd message and change nothing on the screen. */
export function isRefusal(code: string): boolean {
  return code.startsWith("purpose_") || code === "not_permitted" || code === "not_logged_in";
}

export class LiveSocket {
  readonly #settings: LinkSettings;
  readonly #subscribers = new Map<number, Subscriber>();
  #socket: WebSocket | null = null;
  #next = 1;
  #failures = 0;
  #timer: number | undefined;
  #pinger: number | undefined;
  #pings = new Map<number, number>();
  #pingNumber = 0;
  #heardMs = 0;
  #wanted = false;
  #up = false;
  /** The code of the last refusal that concerned the whole socket (no purpose, no permission), or "". */
  refusal = "";

  constructor(settings: LinkSettings) {
    this.#settings = settings;
  }

  get up(): boolean {
    return this.#up;
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#connect();
  }

  stop(): void {
    this.#wanted = false;
    window.clearTimeout(this.#timer);
    this.#drop();
  }

  /** Connects again, e.g. under another purpose. */
  restart(): void {
    this.stop();
    this.start();
  }

  subscribe(subscriber: Subscriber): number {
    const channel = this.#next;
    this.#next = this.#next >= 65_535 ? 1 : this.#next + 1;
    this.#subscribers.set(channel, subscriber);
    if (this.#up) this.#ask(channel, subscriber);
    return channel;
  }

  unsubscribe(channel: number): void {
    if (!this.#subscribers.delete(channel)) return;
    if (this.#up) this.#say({ op: "unsubscribe", channel });
  }

  #ask(channel: number, subscriber: Subscriber): void {
    const wanted = subscriber.request();
    this.#say({
      op: "subscribe",
      channel,
      camera: wanted.camera,
      quality: wanted.quality,
      keys_only: wanted.keysOnly,
      h265: this.#settings.h265,
    });
  }

  #say(message: Record<string, unknown>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #connect(): void {
    const socket = new WebSocket(this.#settings.url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.addEventListener("open", () => this.#socket === socket && this.#opened());
    socket.addEventListener("message", (event: MessageEvent<string | ArrayBuffer>) => {
      if (this.#socket === socket) this.#heard(event.data);
    });
    socket.addEventListener("close", (event) => this.#socket === socket && this.#closed(event.code, event.reason));
  }

  #opened(): void {
    this.refusal = "";
    this.#heardMs = performance.now();
    this.#up = true;
    this.#say({ op: "purpose", id: this.#settings.purpose() });
    for (const [channel, subscriber] of this.#subscribers) {
      subscriber.link(true);
      this.#ask(channel, subscriber);
    }
    this.#ping();
    this.#pinger = window.setInterval(() => this.#ping(), PING_MS);
  }

  #ping(): void {
    const now = performance.now();
    if (now - this.#heardMs > SILENCE_MS) {
      this.#drop();
      this.#closed(0, "");
      return;
    }
    this.#pingNumber += 1;
    this.#pings.set(this.#pingNumber, now);
    this.#say({ op: "ping", n: this.#pingNumber });
  }

  #heard(data: string | ArrayBuffer): void {
    this.#heardMs = performance.now();
    this.#failures = 0;
    if (typeof data !== "string") {
      const media = parseMedia(data);
      if (media) this.#subscribers.get(media.channel)?.media(media);
      return;
    }
    const message = parseControl(data);
    if (!message) return;
    if (message.op === "pong") this.#ponged(message.n, message.now_us);
    else if (message.op === "error" && message.channel === null) {
      if (isRefusal(message.code)) this.#refused(message.code);
    } else if (message.channel !== null) this.#subscribers.get(message.channel)?.control(message);
  }

  #refused(code: string): void {
    this.refusal = code;
    for (const [channel, subscriber] of this.#subscribers) subscriber.control({ op: "error", channel, code });
  }

  #ponged(n: number, serverUs: number): void {
    const sentMs = this.#pings.get(n);
    this.#pings.delete(n);
    if (sentMs !== undefined && serverUs > 0) this.#settings.clock(sentMs, performance.now(), serverUs);
  }

  #drop(): void {
    window.clearInterval(this.#pinger);
    this.#pings.clear();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#setDown();
  }

  #setDown(): void {
    if (!this.#up) return;
    this.#up = false;
    for (const subscriber of this.#subscribers.values()) subscriber.link(false);
  }

  #closed(status: number, reason: string): void {
    window.clearInterval(this.#pinger);
    this.#socket = null;
    if (status === NOT_PERMITTED || status === NOT_AUTHENTICATED) this.#refused(reason || "not_permitted");
    this.#setDown();
    if (status === NOT_AUTHENTICATED) {
      this.#settings.signedOut();
      return;
    }
    if (!this.#wanted || status === NOT_PERMITTED) return;
    this.#failures += 1;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#wanted && this.#connect(), backoffMs(this.#failures));
  }
}
