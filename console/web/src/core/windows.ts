// Runs of window numbers as people say them.

export interface NumberedWindow {
  number: number;
  name: string;
}

/** Names while there are at most three, then the runs of their numbers: `1–12`. */
export function windowsText(windows: readonly NumberedWindow[]): string {
  if (windows.length <= 3) return windows.map((one) => one.name || String(one.number)).join("、");
  const numbers = [...new Set(windows.map((one) => one.number))].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs[runs.length - 1];
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join("、");
}
