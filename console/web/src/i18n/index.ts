// Two flat catalogues; the server answers codes and this file turns them into words.
import en from "./en.json";
import zh from "./zh.json";

export type Language = "zh" | "en";
export type Values = Record<string, string | number>;

const catalogues: Record<Language, Record<string, string>> = { zh, en };
const STORED = "sunhall.language";

class Words extends EventTarget {
  #language: Language = "zh";

  get language(): Language {
    return this.#language;
  }

  start(): void {
    const kept = localStorage.getItem(STORED);
    this.#language = kept === "en" ? "en" : "zh";
    document.documentElement.lang = this.#language === "zh" ? "zh-CN" : "en";
  }

  choose(language: Language): void {
    this.#language = language;
    localStorage.setItem(STORED, language);
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    this.dispatchEvent(new Event("change"));
  }
}

export const words = new Words();

/** Fills `{name}` placeholders. */
export function fill(text: string, values: Values = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The text of `key` in the chosen language; the key itself when no catalogue has it. */
export function t(key: string, values: Values = {}): string {
  const text = catalogues[words.language][key] ?? catalogues.zh[key];
  return text === undefined ? key : fill(text, values);
}

/** The text of a code from a closed list (`gap.network`); an unknown code is shown as it is. */
export function code(list: string, value: string, values: Values = {}): string {
  const key = `${list}.${value}`;
  const text = catalogues[words.language][key] ?? catalogues.zh[key];
  return text === undefined ? value : fill(text, values);
}

/**
 * A short note of a process, in words where there are any: `the disk failed` is looked up as `detail.the_disk_failed`,
 * `outside_schedule: 晚间班` as `plan_reason.outside_schedule` with that name.
 */
export function noteText(note: string): string {
  const [reason = "", ...name] = note.split(": ");
  const text =
    catalogues[words.language][`detail.${note.replace(/ /g, "_")}`] ??
    catalogues[words.language][`plan_reason.${reason}`];
  return text === undefined ? note : fill(text, { name: name.join(": ") });
}

/** The sentence for an error code, with the code itself when it has none. */
export function errorText(value: string, values: Values = {}): string {
  const key = `error.${value}`;
  const text = catalogues[words.language][key];
  return text === undefined ? t("error.unknown", { code: value }) : fill(text, values);
}
