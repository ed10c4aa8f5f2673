import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { PLAN_FIELDS } from "../src/core/plan.ts";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const ROOT = join(WEB, "..", "..");
const read = (path: string): string => readFileSync(path, "utf8");
const catalogue = (name: string): Record<string, string> =>
  JSON.parse(read(join(WEB, "src/i18n", name))) as Record<string, string>;
const zh = catalogue("zh.json");
const en = catalogue("en.json");

function files(folder: string, ending: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return ["node_modules", "web", "__pycache__"].includes(entry.name) ? [] : files(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

const sources = files(join(WEB, "src"), ".ts").map(read).join("\n");

/** The values of a closed list in the Python vocabulary. */
function closedList(module: string, name: string): string[] {
  const body = new RegExp(`class ${name}\\(StrEnum\\):([\\s\\S]*?)(?:\\nclass |\\n[A-Z_]+ =|\\n@)`).exec(
    `${read(join(ROOT, module))}\nclass `,
  )?.[1];
  assert.ok(body, `${name} not found in ${module}`);
  return [...body.matchAll(/^ {4}[A-Z_]+ = "([a-z0-9_]+)"/gm)].map((match) => match[1] as string);
}

function needs(list: string, codes: readonly string[]): void {
  assert.ok(codes.length > 1, list);
  for (const code of codes) assert.ok(zh[`${list}.${code}`], `no text for ${list}.${code}`);
}

test("both catalogues have the same keys and no empty text", () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const [key, text] of [...Object.entries(zh), ...Object.entries(en)]) assert.ok(text.trim(), key);
});

test("placeholders agree", () => {
  const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((match) => match[0]).sort();
  for (const key of Object.keys(zh)) assert.deepEqual(places(zh[key] as string), places(en[key] as string), key);
});

test("every key that the code names has text", () => {
  const keys = [...sources.matchAll(/\bt\(\s*"([^"]+)"/g)].map((match) => match[1] as string);
  assert.ok(keys.length > 200);
  for (const key of keys) assert.ok(zh[key], `no text for ${key}`);
});

test("every code of the closed lists has text", () => {
  needs("gap", [...closedList("storage/model.py", "GapReason"), "recorded", "future"]);
  needs("coverage", ["recorded", "removed", "pending", "future"]);
  needs("coverage", closedList("storage/model.py", "CoverageState"));
  needs("live", closedList("storage/model.py", "LiveState"));
  needs("plan_mode", closedList("storage/model.py", "RecordingMode"));
  needs("stream_policy", closedList("storage/model.py", "StreamPolicy"));
  needs("stream_policy_short", closedList("storage/model.py", "StreamPolicy"));
  needs("day_kind", closedList("storage/model.py", "DayKind"));
  needs("plan_field", PLAN_FIELDS);
  needs("purpose", closedList("storage/model.py", "PurposeCode"));
  needs("event", closedList("storage/model.py", "EventKind"));
  needs("role", closedList("storage/model.py", "Role"));
  needs("camera_role", closedList("storage/model.py", "CameraRole"));
  needs("precision", closedList("storage/model.py", "TimePrecision"));
  needs("visit_method", closedList("storage/model.py", "VisitMethod"));
  const alarms = closedList("storage/model.py", "AlarmKind");
  needs("alarm", [...alarms, ...alarms.map((one) => `${one}_fix`)]);
  const faults = closedList("storage/errors.py", "DeviceFault");
  needs("fault", [...faults, ...faults.map((one) => `${one}_fix`)]);
});

test("every error that the console's services and routes raise has text", () => {
  const python = [...files(join(ROOT, "console/services"), ".py"), ...files(join(ROOT, "console/routes"), ".py")]
    .map(read)
    .join("\n");
  const kinds = "InvalidInput|NotPermitted|NotAuthenticated|NotFound|Conflict|Unavailable";
  const codes = new Set(
    [...python.matchAll(new RegExp(`(?:${kinds})\\(\\s*"([a-z0-9_]+)"`, "g"))].map((match) => match[1] as string),
  );
  assert.ok(codes.size > 20);
  const missing = [...codes].filter((code) => !zh[`error.${code}`]);
  assert.deepEqual(missing, []);
});

test("every audited action has a name", () => {
  const python = files(join(ROOT, "console/services"), ".py").map(read).join("\n");
  const actions = [...python.matchAll(/audit\.record\((?:conn, )?\w+, "([a-z_]+)"/g)].map(
    (match) => match[1] as string,
  );
  assert.ok(actions.length > 10);
  assert.deepEqual(
    [...new Set(actions)].filter((action) => !zh[`audit.${action}`]),
    [],
  );
});

test("words that the project avoids do not appear on the screen", () => {
  for (const [key, text] of Object.entries(zh)) {
    for (const word of ["补录", "指纹", "线索"]) assert.ok(!text.includes(word), `${key}: ${word}`);
  }
});

test("no template sets a style attribute: the content security policy would drop it", () => {
  assert.equal(/\sstyle=/.test(sources), false);
});
