// Who is signed in, the hall's clock, and the purpose under which footage is asked for.
import { api, credentials } from "./api.ts";
import { ServerClock } from "./clock.ts";
import type { Purpose, RoleCode, Session } from "./types.ts";

class Store extends EventTarget {
  readonly clock = new ServerClock();
  session: Session | null = null;
  purpose: Purpose | null = null;
  problems = 0;
  #timer: number | undefined;

  get zone(): string {
    return this.session?.hall.timezone ?? "Asia/Shanghai";
  }

  get roles(): RoleCode[] {
    return this.session?.account.roles ?? [];
  }

  has(...roles: RoleCode[]): boolean {
    return roles.some((role) => this.roles.includes(role));
  }

  adopt(session: Session): void {
    this.session = session;
    credentials.csrf = session.csrf;
    const now = performance.now();
    if (!this.clock.known) this.clock.take({ sentMs: now - 1000, receivedMs: now, serverUs: session.now_us });
    void this.syncClock();
    window.clearInterval(this.#timer);
    this.#timer = window.setInterval(() => void this.syncClock(), 60_000);
    this.changed();
  }

  forget(): void {
    window.clearInterval(this.#timer);
    this.session = null;
    this.purpose = null;
    credentials.csrf = null;
    credentials.purpose = null;
    this.changed();
  }

  setPurpose(purpose: Purpose | null): void {
    this.purpose = purpose;
    credentials.purpose = purpose?.id ?? null;
    this.changed();
  }

  setProblems(count: number): void {
    if (count === this.problems) return;
    this.problems = count;
    this.changed();
  }

  changed(): void {
    this.dispatchEvent(new Event("change"));
  }

  /** Three probes; the one with the shortest round trip sets the clock. */
  async syncClock(): Promise<void> {
    for (let probe = 0; probe < 3; probe += 1) {
      const sentMs = performance.now();
      const answer = await api.get<{ now_us: number }>("/api/time").catch(() => null);
      if (!answer) return;
      this.clock.take({ sentMs, receivedMs: performance.now(), serverUs: answer.now_us });
    }
  }
}

export const store = new Store();
