// One track of a recorded file: what belongs to the other is renamed to `free`, in place, so that every offset stays true.
// Pictures and sound go to media elements of their own: a hole in the sound, or a file without any, never holds a picture.

export type TrackKind = "vide" | "soun";

const LARGEST_HEAD = 1_000_000;
const WALKED = new Set(["moov", "trak", "mdia", "mvex"]);

/** The codec of the pictures of a segment (`avc1.64001F,flac` has both). */
export function pictureCodec(codec: string): string {
  return codec.split(",")[0] ?? "";
}

/** The codec of the sound of a segment, or "" when it has none. */
export function soundCodec(codec: string): string {
  return codec.split(",")[1] ?? "";
}

interface Box {
  kind: string;
  start: number;
  end: number;
}

function kindAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0);
}

function numberAt(bytes: Uint8Array, at: number): number {
  return at + 4 <= bytes.length ? new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0) : 0;
}

function* boxes(bytes: Uint8Array, start: number, end: number): Generator<Box> {
  for (let at = start; at + 8 <= end; ) {
    const size = numberAt(bytes, at);
    if (size < 8 || at + size > end) return;
    yield { kind: kindAt(bytes, at + 4), start: at, end: at + size };
    at += size;
  }
}

/** All boxes of that kind below a box, through the containers that lead to them. */
function* below(bytes: Uint8Array, parent: Box, kind: string): Generator<Box> {
  for (const box of boxes(bytes, parent.start + 8, parent.end)) {
    if (box.kind === kind) yield box;
    else if (WALKED.has(box.kind)) yield* below(bytes, box, kind);
  }
}

function free(bytes: Uint8Array, box: Box): void {
  bytes.set([0x66, 0x72, 0x65, 0x65], box.start + 4);
}

/** Lets one track of a file through. Bytes may be cut anywhere; the head must come before the fragments. */
export class TrackFilter {
  readonly #wanted: TrackKind;
  #hidden = new Set<number>();
  #kept: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Bytes of the box that is passing through and are still to come. */
  #passing = 0;
  /** The fragment that came last has nothing of this track. */
  #empty = false;

  constructor(wanted: TrackKind) {
    this.#wanted = wanted;
  }

  /** The bytes that can go on now; heads of files and fragments wait until they are whole. */
  take(more: Uint8Array): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#kept.length + more.length);
    bytes.set(this.#kept);
    bytes.set(more, this.#kept.length);
    let at = Math.min(this.#passing, bytes.length);
    this.#passing -= at;
    while (this.#passing === 0 && at + 8 <= bytes.length) {
      const box: Box = { kind: kindAt(bytes, at + 4), start: at, end: at + Math.max(8, numberAt(bytes, at)) };
      const head = (box.kind === "moov" || box.kind === "moof") && box.end - at <= LARGEST_HEAD;
      if (head && box.end > bytes.length) break;
      this.#show(bytes, box);
      at = Math.min(box.end, bytes.length);
      this.#passing = box.end - at;
    }
    this.#kept = bytes.slice(at);
    return bytes.slice(0, at);
  }

  #show(bytes: Uint8Array, box: Box): void {
    if (box.kind === "moov") this.#showHead(bytes, box);
    else if (box.kind === "moof") this.#showFragment(bytes, box);
    else if (box.kind === "mdat" && this.#empty) free(bytes, box);
  }

  #showHead(bytes: Uint8Array, moov: Box): void {
    this.#hidden.clear();
    for (const trak of below(bytes, moov, "trak")) {
      const [handler] = below(bytes, trak, "hdlr");
      const [header] = below(bytes, trak, "tkhd");
      if (!handler || !header || kindAt(bytes, handler.start + 16) === this.#wanted) continue;
      this.#hidden.add(numberAt(bytes, header.start + 20));
      free(bytes, trak);
    }
    for (const trex of below(bytes, moov, "trex")) {
      if (this.#hidden.has(numberAt(bytes, trex.start + 12))) free(bytes, trex);
    }
  }

  #showFragment(bytes: Uint8Array, moof: Box): void {
    let shown = 0;
    for (const traf of below(bytes, moof, "traf")) {
      const [header] = boxes(bytes, traf.start + 8, traf.end);
      if (header && this.#hidden.has(numberAt(bytes, header.start + 12))) free(bytes, traf);
      else shown += 1;
    }
    this.#empty = shown === 0;
    if (this.#empty) free(bytes, moof);
  }
}
