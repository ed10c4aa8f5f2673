// What a change of recording plans would do. Pure: plans and a change in, facts for words out.
import type { Plan, PlanField, PlanValues } from "./types.ts";

export const PLAN_MODES = ["always", "periods", "event", "off"] as const;
export const STREAM_POLICIES = ["auto", "main", "sub", "both"] as const;

/** The fields of a plan that people set, in the order in which changes are told. */
export const PLAN_FIELDS: readonly PlanField[] = [
  "mode",
  "schedule_id",
  "on_visit",
  "on_motion",
  "pre_roll_s",
  "post_roll_s",
  "extend_visits",
  "extend_after_s",
  "extend_cap_s",
  "streams",
  "retention_class_id",
  "keep_days",
  "audio",
  "audio_basis",
];

/** The value that all plans share, or `undefined` when they differ. */
export function shared<F extends PlanField>(plans: readonly Plan[], field: F): PlanValues[F] | undefined {
  const first = plans[0]?.[field];
  return plans.every((one) => one[field] === first) ? first : undefined;
}

/** What holds for all plans once `change` is made, or `undefined` when they would still differ. */
export function outcome<F extends PlanField>(
  plans: readonly Plan[],
  change: Partial<PlanValues>,
  field: F,
): PlanValues[F] | undefined {
  return field in change ? change[field] : shared(plans, field);
}

/** `change` with one value more; a value that all plans have already is no change. */
export function changed<F extends PlanField>(
  plans: readonly Plan[],
  change: Partial<PlanValues>,
  field: F,
  value: PlanValues[F] | undefined,
): Partial<PlanValues> {
  const next = { ...change };
  delete next[field];
  if (value !== undefined && shared(plans, field) !== value) next[field] = value;
  return next;
}

export interface FieldChange {
  field: PlanField;
  /** The different values that give way, in the order of the cameras. */
  from: PlanValues[PlanField][];
  to: PlanValues[PlanField];
  /** How many cameras it concerns. */
  cameras: number;
}

/** Field by field what `change` does to these plans; what stays as it is with all of them is left out. */
export function changesOf(plans: readonly Plan[], change: Partial<PlanValues>): FieldChange[] {
  const found: FieldChange[] = [];
  for (const field of PLAN_FIELDS) {
    const to = change[field];
    if (to === undefined) continue;
    const given = plans.map((one) => one[field]).filter((value) => value !== to);
    if (given.length > 0) found.push({ field, from: [...new Set(given)], to, cameras: given.length });
  }
  return found;
}

/** How many of the plans become different ones. */
export function concerned(plans: readonly Plan[], change: Partial<PlanValues>): number {
  return plans.filter((one) => PLAN_FIELDS.some((field) => field in change && one[field] !== change[field])).length;
}

/** Which modes the cameras have after the change. */
export function modesAfter(plans: readonly Plan[], change: Partial<PlanValues>): string[] {
  return change.mode === undefined ? [...new Set(plans.map((one) => one.mode))] : [change.mode];
}

/** The ids between two rows of a list, both included: what a click with the shift key takes. */
export function stretch(ids: readonly string[], from: string, to: string): string[] {
  const ends = [ids.indexOf(from), ids.indexOf(to)].sort((a, b) => a - b);
  const [first, last] = ends as [number, number];
  return first < 0 ? [to] : ids.slice(first, last + 1);
}
