// Between wall time (microseconds UTC) and the media time of recorded segments: linear from t0..t1 over media_duration.
import type { TimelineSegment, TimelineStream } from "../core/types.ts";
import { pictureCodec } from "./tracks.ts";

/** Length of a segment's media, seconds. */
export function mediaSeconds(segment: TimelineSegment): number {
  return segment.media_duration / Math.max(1, segment.timescale);
}

/** Media seconds per wall second: 1 but for the drift between the camera's clock and the hall's. */
export function mediaRate(segment: TimelineSegment): number {
  const wall = (segment.t1_us - segment.t0_us) / 1_000_000;
  const media = mediaSeconds(segment);
  return wall > 0 && media > 0 ? media / wall : 1;
}

/** Position on the media element (seconds; a segment is put at its t0) that shows `us`. */
export function elementTime(segment: TimelineSegment, us: number): number {
  return segment.t0_us / 1_000_000 + ((us - segment.t0_us) / 1_000_000) * mediaRate(segment);
}

/** Wall time that an element position in this segment shows. */
export function wallTime(segment: TimelineSegment, position: number): number {
  return Math.round(segment.t0_us + ((position - segment.t0_us / 1_000_000) / mediaRate(segment)) * 1_000_000);
}

/** The segment that holds `us`, or null in a gap. Segments are in order and do not overlap. */
export function segmentAt(segments: readonly TimelineSegment[], us: number): TimelineSegment | null {
  let low = 0;
  let high = segments.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const segment = segments[middle] as TimelineSegment;
    if (us < segment.t0_us) high = middle - 1;
    else if (us >= segment.t1_us) low = middle + 1;
    else return segment;
  }
  return null;
}

/** The wall time of a presented frame: by the last segment that begins at or before it (later media overwrite earlier). */
export function presentedWall(segments: readonly TimelineSegment[], position: number): number | null {
  const us = position * 1_000_000;
  let found: TimelineSegment | null = null;
  for (const segment of segments) {
    // A microsecond of rounding must not give a segment's first frame to the one before.
    if (segment.t0_us - 1 > us) break;
    found = segment;
  }
  return found ? wallTime(found, position) : null;
}

export interface Choice {
  stream: TimelineStream;
  how: "native" | "substream" | "converted";
}

/** Which stream of a camera to play: the main one, else a substream that this browser can decode, else converted. */
export function chooseStream(streams: readonly TimelineStream[], playable: (codec: string) => boolean): Choice | null {
  const held = streams.filter((one) => one.segments.length > 0);
  const main = held.find((one) => one.role === "main");
  const can = (stream: TimelineStream): boolean =>
    stream.segments.every((segment) => playable(pictureCodec(segment.codec)));
  if (main && can(main)) return { stream: main, how: "native" };
  const other = held.find((one) => one !== main && can(one));
  if (other) return { stream: other, how: main ? "substream" : "native" };
  const any = main ?? held[0];
  return any ? { stream: any, how: "converted" } : null;
}
