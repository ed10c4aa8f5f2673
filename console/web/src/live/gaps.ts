// Buffered ranges as plain numbers, and where to jump when the position stands before a gap.

export interface Range {
  start: number;
  end: number;
}

export function rangesOf(buffered: TimeRanges): Range[] {
  const ranges: Range[] = [];
  for (let index = 0; index < buffered.length; index += 1) {
    ranges.push({ start: buffered.start(index), end: buffered.end(index) });
  }
  return ranges;
}

/**
 * Where to go on when the position has run into a gap: just inside the next range; null while the position still has
 * media before it, or when nothing follows yet. `edge` is how near to a range's end counts as being at it.
 */
export function hopOver(ranges: readonly Range[], position: number, edge = 0.05): number | null {
  for (const range of ranges) {
    if (position < range.start) return range.start + 0.001;
    if (position < range.end - edge) return null;
  }
  return null;
}

/** What to remove so that at most `keep` seconds stay behind the position once `limit` is exceeded; null: nothing. */
export function trimRange(ranges: readonly Range[], position: number, limit: number, keep: number): Range | null {
  const first = ranges[0];
  if (!first || position - first.start <= limit) return null;
  const end = position - keep;
  return end > first.start ? { start: first.start, end } : null;
}
