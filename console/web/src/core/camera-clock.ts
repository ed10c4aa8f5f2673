// A camera's clock in words: how far it is fast or slow. Pure.

export const TOLERATED_US = 2_000_000;
const SECOND_US = 1_000_000;

export interface ClockWords {
  kind: "fast" | "slow" | "right";
  /** How much, in the largest unit that says it well. */
  amount: string;
  unit: "s" | "min" | "h" | "d";
  /** More than is tolerated, and surely so: shown as a warning. */
  off: boolean;
}

/** An offset (camera minus hall) in words; what lies within the error, or within half a second, is right. */
export function clockWords(offsetUs: number, errorUs: number): ClockWords {
  const size = Math.abs(offsetUs);
  const right = size <= Math.max(errorUs, SECOND_US / 2);
  const seconds = size / SECOND_US;
  const off = size - errorUs > TOLERATED_US;
  const kind = right ? "right" : offsetUs > 0 ? "fast" : "slow";
  if (seconds < 120)
    return { kind, amount: seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds)), unit: "s", off };
  if (seconds < 7200) return { kind, amount: String(Math.round(seconds / 60)), unit: "min", off };
  if (seconds < 172_800) return { kind, amount: String(Math.round(seconds / 3600)), unit: "h", off };
  return { kind, amount: String(Math.round(seconds / 86_400)), unit: "d", off };
}
