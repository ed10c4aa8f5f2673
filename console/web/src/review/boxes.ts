// Enough of the file format to begin in the middle of a segment: where its head ends and where a fragment begins.
import type { TimelineSegment } from "../core/types.ts";

const LARGEST_MOOF = 1_000_000;
const LEAD_S = 5;

function typeAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0);
}

function sizeAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0);
}

/** End of the `moov` box in the first bytes of a file; null when it is not whole in them. */
export function headEnd(bytes: Uint8Array): number | null {
  let at = 0;
  while (at + 8 <= bytes.length) {
    const size = sizeAt(bytes, at);
    if (size < 8 || at + size > bytes.length) return null;
    if (typeAt(bytes, at + 4) === "moov") return at + size;
    at += size;
  }
  return null;
}

/** Where the first whole `moof` header (with its `mfhd`) stands at or after `from`; -1 when there is none yet. */
export function findMoof(bytes: Uint8Array, from = 0): number {
  for (let at = from; at + 16 <= bytes.length; at += 1) {
    if (bytes[at + 4] !== 0x6d || typeAt(bytes, at + 4) !== "moof" || typeAt(bytes, at + 12) !== "mfhd") continue;
    const size = sizeAt(bytes, at);
    if (size >= 24 && size <= LARGEST_MOOF) return at;
  }
  return -1;
}

/**
 * The byte from which to ask so that `us` is within what comes, a few seconds early for the key frame before it and for
 * an uneven bit rate; 0 when the whole segment might as well be taken.
 */
export function startByte(segment: TimelineSegment, us: number): number {
  const length = (segment.t1_us - segment.t0_us) / 1_000_000;
  const share = (us - segment.t0_us) / 1_000_000 - LEAD_S;
  if (length <= 0 || share < length * 0.2 || segment.bytes < 1_000_000) return 0;
  return Math.floor((segment.bytes * share) / length);
}
