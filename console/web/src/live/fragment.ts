// Reads the two times that the player needs from a movie fragment: its decode time and its frame duration.

export interface FragmentTimes {
  /** `tfdt`, in units of 1/timescale s. */
  decodeTime: number;
  /** Declared duration of the first sample, in units of 1/timescale s; 0 when the fragment does not say. */
  duration: number;
}

interface Box {
  type: string;
  start: number;
  end: number;
}

function* boxes(view: DataView, from: number, to: number): Generator<Box> {
  let at = from;
  while (at + 8 <= to) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(
      view.getUint8(at + 4),
      view.getUint8(at + 5),
      view.getUint8(at + 6),
      view.getUint8(at + 7),
    );
    if (size < 8 || at + size > to) return;
    yield { type, start: at + 8, end: at + size };
    at += size;
  }
}

function child(view: DataView, from: number, to: number, type: string): Box | null {
  for (const box of boxes(view, from, to)) if (box.type === type) return box;
  return null;
}

function decodeTimeOf(view: DataView, box: Box): number {
  const wide = view.getUint8(box.start) === 1;
  if (box.end - box.start < (wide ? 12 : 8)) return 0;
  if (!wide) return view.getUint32(box.start + 4);
  return view.getUint32(box.start + 4) * 4294967296 + view.getUint32(box.start + 8);
}

function defaultDurationOf(view: DataView, box: Box): number {
  const flags = view.getUint32(box.start) & 0xffffff;
  if ((flags & 0x8) === 0) return 0;
  let at = box.start + 8;
  if (flags & 0x1) at += 8;
  if (flags & 0x2) at += 4;
  return at + 4 <= box.end ? view.getUint32(at) : 0;
}

function firstDurationOf(view: DataView, box: Box): number {
  const flags = view.getUint32(box.start) & 0xffffff;
  if ((flags & 0x100) === 0) return 0;
  let at = box.start + 8;
  if (flags & 0x1) at += 4;
  if (flags & 0x4) at += 4;
  return at + 4 <= box.end ? view.getUint32(at) : 0;
}

/** The times of the fragment's first track run, or null when the bytes hold no movie fragment. */
export function fragmentTimes(bytes: Uint8Array): FragmentTimes | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const moof = child(view, 0, view.byteLength, "moof");
  const traf = moof && child(view, moof.start, moof.end, "traf");
  const tfdt = traf && child(view, traf.start, traf.end, "tfdt");
  if (!traf || !tfdt || tfdt.end - tfdt.start < 8) return null;
  const trun = child(view, traf.start, traf.end, "trun");
  const tfhd = child(view, traf.start, traf.end, "tfhd");
  const own = trun ? firstDurationOf(view, trun) : 0;
  return { decodeTime: decodeTimeOf(view, tfdt), duration: own || (tfhd ? defaultDurationOf(view, tfhd) : 0) };
}
