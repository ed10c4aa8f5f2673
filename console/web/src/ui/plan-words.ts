// Recording plans, weeks and calendar days in words.
import { runs, weekGroups } from "../core/week.ts";
import type { Period, Plan, PlanField, PlanRow, PlanValues, RetentionClass, Schedule } from "../core/types.ts";
import { code, t, words } from "../i18n/index.ts";

export interface PlanNames {
  schedules: readonly Schedule[];
  classes: readonly RetentionClass[];
}

/** Items of a list, as the language separates them. */
export function listText(items: readonly string[]): string {
  return items.join(words.language === "zh" ? "、" : ", ");
}

export function weekdaysText(days: readonly number[]): string {
  if (days.length === 7) return t("week.every_day");
  return listText(
    runs(days).flatMap(([first, last]) =>
      last - first > 1
        ? [t("week.from_to", { first: code("weekday_name", String(first)), last: code("weekday_name", String(last)) })]
        : first === last
          ? [code("weekday_name", String(first))]
          : [code("weekday_name", String(first)), code("weekday_name", String(last))],
    ),
  );
}

/** 「周一至周五 09:00–12:00、13:30–17:00；周六 09:00–12:00」 */
export function weekText(periods: readonly Period[]): string {
  return weekGroups(periods)
    .map((group) => {
      const spans = group.spans.map((one) => `${one.from}–${one.next ? t("week.next_day", { at: one.to }) : one.to}`);
      return `${weekdaysText(group.weekdays)} ${listText(spans)}`;
    })
    .join(words.language === "zh" ? "；" : "; ");
}

function scheduleName(id: string, names: PlanNames): string {
  return names.schedules.find((one) => one.id === id)?.name ?? t("plans.schedule_gone");
}

/** Whose hours a plan goes by. */
export function hoursText(plan: Plan, windows: number, names: PlanNames): string {
  if (plan.mode === "always" || plan.mode === "off") return "";
  if (plan.schedule_id) return scheduleName(plan.schedule_id, names);
  if (plan.mode === "event") return t("plans.any_time");
  return windows > 0 ? t("plans.window_hours") : t("plans.hall_hours");
}

/** What a plan does beyond its mode and hours, a few words each. */
export function planNotes(plan: Plan): string[] {
  const notes: string[] = [];
  if (plan.mode === "event") {
    const causes = [plan.on_visit ? t("plans.on_visit") : "", plan.on_motion ? t("plans.on_motion") : ""];
    notes.push(listText(causes.filter(Boolean)) || t("plans.no_trigger"));
    notes.push(t("plans.rolls", { pre: plan.pre_roll_s, post: plan.post_roll_s }));
  }
  if ((plan.mode === "periods" || plan.mode === "event") && plan.extend_visits) notes.push(t("plans.extends"));
  return notes;
}

function minutes(seconds: number): string {
  return String(Math.round(seconds / 6) / 10);
}

/** A plan in one line: 「服务时段 · 工作日班次 · 办件未结束延长」 */
export function planLine(row: Pick<PlanRow, "plan" | "windows">, names: PlanNames): string {
  const { plan } = row;
  return [code("plan_mode", plan.mode), hoursText(plan, row.windows.length, names), ...planNotes(plan)]
    .filter(Boolean)
    .join(" · ");
}

export function keepText(plan: Plan, names: PlanNames): string {
  const found = names.classes.find((one) => one.id === plan.retention_class_id);
  return found ? found.name : plan.keep_days > 0 ? t("plans.keep_own") : t("plans.keep_hall");
}

export function valueText(field: PlanField, value: PlanValues[PlanField], names: PlanNames): string {
  switch (field) {
    case "mode":
      return code("plan_mode", String(value));
    case "streams":
      return code("stream_policy_short", String(value));
    case "schedule_id":
      return value === null ? t("plans.no_schedule") : scheduleName(String(value), names);
    case "retention_class_id":
      return value === null
        ? t("plans.no_class")
        : (names.classes.find((one) => one.id === value)?.name ?? t("plans.class_gone"));
    case "keep_days":
      return value === 0 ? t("plans.keep_hall") : `${String(value)} ${t("unit.days")}`;
    case "pre_roll_s":
    case "post_roll_s":
      return t("unit.s", { n: Number(value) });
    case "extend_after_s":
    case "extend_cap_s":
      return t("unit.min", { n: minutes(Number(value)) });
    case "audio_basis":
      return value === "" ? t("plans.no_basis") : String(value);
    default:
      return value ? t("plans.yes") : t("plans.no");
  }
}
