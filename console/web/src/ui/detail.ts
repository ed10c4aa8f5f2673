// Facts that the server attached to a row, as one line: times in the hall's zone, the rest as they are.
import { momentText } from "../core/time.ts";

function valueText(name: string, value: unknown, zone: string): string {
  if (name.endsWith("_us") && typeof value === "number") return momentText(value, zone);
  if (Array.isArray(value)) return value.map((one) => valueText(name, one, zone)).join("、");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** `detail` may be an object or the JSON text of one; other text is shown as it is. */
export function detailText(detail: unknown, zone: string): string {
  let facts = detail;
  if (typeof detail === "string") {
    try {
      facts = JSON.parse(detail) as unknown;
    } catch (error) {
      if (error instanceof SyntaxError) return detail;
      throw error;
    }
  }
  if (typeof facts !== "object" || facts === null) return facts === null || facts === undefined ? "" : String(facts);
  return Object.entries(facts)
    .map(([name, value]) => `${name.replace(/_us$/, "")}: ${valueText(name, value, zone)}`)
    .join(" · ");
}
