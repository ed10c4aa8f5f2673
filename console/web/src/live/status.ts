// What a tile says about itself. Pure: from what is known to what is shown.

export interface TileFacts {
  camera: boolean;
  linkUp: boolean;
  everLinked: boolean;
  live: string;
  cause: string;
  sinceUs: number;
  recording: string;
  recordingSinceUs: number;
  refusal: string;
  codecPlayable: boolean;
  framesSeen: boolean;
  /** Milliseconds since the last presented frame; Infinity before the first. */
  frameAgeMs: number;
}

export type LiveLook = "live" | "connecting" | "stale" | "offline" | "no_permission" | "unsupported" | "lost" | "empty";

export interface TileLook {
  live: LiveLook;
  /** Code of the cause: a GapReason, DeviceFault or error code; "" when none is needed. */
  cause: string;
  sinceUs: number;
  /** "recorded", a GapReason, or "" while nothing is known. */
  recording: string;
  grey: boolean;
  /** Whether a message covers the picture. */
  covered: boolean;
}

const STALE_MS = 3000;

function liveLook(facts: TileFacts): LiveLook {
  if (!facts.camera) return "empty";
  if (!facts.linkUp && !facts.refusal) return facts.everLinked ? "lost" : "connecting";
  if (facts.refusal) return facts.refusal === "unsupported" ? "unsupported" : "no_permission";
  if (!facts.codecPlayable) return "unsupported";
  if (facts.live === "live") {
    if (!facts.framesSeen) return "connecting";
    return facts.frameAgeMs > STALE_MS ? "stale" : "live";
  }
  return isLook(facts.live) ? facts.live : "connecting";
}

function isLook(value: string): value is LiveLook {
  return ["live", "connecting", "stale", "offline", "no_permission", "unsupported"].includes(value);
}

export function tileLook(facts: TileFacts): TileLook {
  const live = liveLook(facts);
  const pictured = facts.framesSeen && (live === "stale" || live === "lost");
  return {
    live,
    cause: live === "lost" ? "console_lost" : facts.refusal || facts.cause,
    sinceUs: facts.sinceUs,
    recording: facts.linkUp ? facts.recording : "",
    grey: live === "lost" || live === "stale",
    covered: live !== "live" && !pictured,
  };
}
