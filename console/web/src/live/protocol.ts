// The live protocol (docs/interfaces.md section 5): JSON control in text frames, media in binary frames.

export interface Info {
  op: "info";
  channel: number;
  stream: string;
  role: string;
  codec: string;
  width: number;
  height: number;
  /** Made for this viewer from another codec: not the original. */
  derived: boolean;
}

export interface State {
  op: "state";
  channel: number;
  live: string;
  cause: string;
  since_us: number;
  recording: string;
  recording_since_us: number;
}

export interface Dropped {
  op: "dropped";
  channel: number;
  frames: number;
}

export interface Refusal {
  op: "error";
  channel: number | null;
  code: string;
}

export interface Pong {
  op: "pong";
  n: number;
  now_us: number;
}

export type Control = Info | State | Dropped | Refusal | Pong;

export interface Media {
  channel: number;
  kind: "init" | "fragment";
  key: boolean;
  payload: Uint8Array;
}

const record = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const whole = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

/** A control message, or null when it is none that this version knows. */
export function parseControl(frame: string): Control | null {
  let body: unknown;
  try {
    body = JSON.parse(frame);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  if (!record(body)) return null;
  const op = body["op"];
  if (op === "pong") return { op, n: whole(body["n"]), now_us: whole(body["now_us"]) };
  const given = body["channel"];
  if (op === "error") {
    return { op, channel: typeof given === "number" ? given : null, code: text(body["code"]) };
  }
  if (typeof given !== "number") return null;
  switch (op) {
    case "info":
      return {
        op,
        channel: given,
        stream: text(body["stream"]),
        role: text(body["role"]),
        codec: text(body["codec"]),
        width: whole(body["width"]),
        height: whole(body["height"]),
        derived: body["derived"] === true,
      };
    case "state":
      return {
        op,
        channel: given,
        live: text(body["live"]),
        cause: text(body["cause"]),
        since_us: whole(body["since_us"]),
        recording: text(body["recording"]),
        recording_since_us: whole(body["recording_since_us"]),
      };
    case "dropped":
      return { op, channel: given, frames: whole(body["frames"]) };
    default:
      return null;
  }
}

/** `u16 channel | u8 type | u8 flags | payload`; null when shorter than its head or of an unknown type. */
export function parseMedia(frame: ArrayBuffer): Media | null {
  if (frame.byteLength < 4) return null;
  const head = new DataView(frame, 0, 4);
  const type = head.getUint8(2);
  if (type > 1) return null;
  return {
    channel: head.getUint16(0),
    kind: type === 0 ? "init" : "fragment",
    key: (head.getUint8(3) & 1) === 1,
    payload: new Uint8Array(frame, 4),
  };
}
