// Numbers as people read them.

/** `1.2 TB`, decimal units as disks are sold. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? "B"}`;
}

/** `+1.25 s` or `−340 ms` from microseconds. */
export function offsetText(us: number): string {
  const sign = us < 0 ? "−" : "+";
  const size = Math.abs(us);
  return size >= 1_000_000 ? `${sign}${(size / 1_000_000).toFixed(2)} s` : `${sign}${Math.round(size / 1000)} ms`;
}
