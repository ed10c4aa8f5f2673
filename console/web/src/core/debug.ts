// A read-only window for tests and field support: what is on the screen, counted where it is presented.
import { store } from "./session.ts";

export interface DebugHook {
  readonly tiles: readonly unknown[];
  readonly review: unknown;
  readonly serverUs: number;
}

const sources: { tiles: () => readonly unknown[]; review: () => unknown } = { tiles: () => [], review: () => null };

export function exposeTiles(read: (() => readonly unknown[]) | null): void {
  sources.tiles = read ?? (() => []);
}

export function exposeReview(read: (() => unknown) | null): void {
  sources.review = read ?? (() => null);
}

export function installDebugHook(): void {
  const hook: DebugHook = {
    get tiles() {
      return sources.tiles();
    },
    get review() {
      return sources.review();
    },
    get serverUs() {
      return store.clock.nowUs();
    },
  };
  Object.defineProperty(window, "__sunhall", { value: Object.freeze(hook) });
}
