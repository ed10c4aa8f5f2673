// The wall's layout as the viewer left it.

export type WallSize = 1 | 4 | 9;
export const WALL_SIZES: readonly WallSize[] = [1, 4, 9];

export interface Layout {
  size: WallSize;
  /** Camera id per slot, up to nine; null: an empty tile. */
  slots: (string | null)[];
}

/** Reads a stored layout; anything odd in it falls back to a fresh one of the given cameras. */
export function readLayout(stored: string | null, cameras: readonly string[]): Layout {
  const fresh: Layout = { size: cameras.length > 1 ? 4 : 1, slots: fillSlots([], cameras) };
  if (!stored) return fresh;
  let body: unknown;
  try {
    body = JSON.parse(stored);
  } catch (error) {
    if (error instanceof SyntaxError) return fresh;
    throw error;
  }
  const given = body as { size?: unknown; slots?: unknown };
  const size = WALL_SIZES.find((one) => one === given.size);
  if (!size || !Array.isArray(given.slots)) return fresh;
  const known = new Set(cameras);
  const slots = given.slots.slice(0, 9).map((one) => (typeof one === "string" && known.has(one) ? one : null));
  while (slots.length < 9) slots.push(null);
  if (slots.every((one) => one === null)) return { size, slots: fillSlots([], cameras) };
  return { size, slots };
}

function fillSlots(kept: readonly string[], cameras: readonly string[]): (string | null)[] {
  const slots: (string | null)[] = [...kept, ...cameras.filter((one) => !kept.includes(one))].slice(0, 9);
  while (slots.length < 9) slots.push(null);
  return slots;
}

/** Puts a camera into a slot; when it is already on the wall the two slots change places. */
export function place(slots: readonly (string | null)[], slot: number, camera: string | null): (string | null)[] {
  const next = [...slots];
  const from = camera === null ? -1 : next.indexOf(camera);
  if (from >= 0 && from !== slot) next[from] = next[slot] ?? null;
  next[slot] = camera;
  return next;
}

/** The stream a tile should ask for: main for one and four tiles and full size, substream from nine up. */
export function qualityFor(size: WallSize, enlarged: boolean): "main" | "sub" {
  return size === 9 && !enlarged ? "sub" : "main";
}
