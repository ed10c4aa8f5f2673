// What this browser must be able to do, checked at login so that nobody meets a black wall later.

export interface Capability {
  code: "version" | "mse" | "h264" | "websocket" | "frames" | "secure" | "h265";
  ok: boolean;
  /** Without it the application is no use; otherwise it only loses something. */
  needed: boolean;
  detail: string;
}

export const LEAST_CHROMIUM = 86;
export const H264 = 'video/mp4; codecs="avc1.64001F"';
export const H265 = 'video/mp4; codecs="hvc1.1.6.L93.B0"';

/** The Chromium major version in a user agent, or null for other engines. */
export function chromiumVersion(agent: string): number | null {
  const match = /(?:Chrome|Chromium)\/(\d+)/.exec(agent);
  return match ? Number(match[1]) : null;
}

export function checkBrowser(): Capability[] {
  const version = chromiumVersion(navigator.userAgent);
  const media = typeof MediaSource !== "undefined";
  return [
    {
      code: "version",
      ok: version !== null && version >= LEAST_CHROMIUM,
      needed: true,
      detail: version === null ? "?" : String(version),
    },
    { code: "mse", ok: media, needed: true, detail: "" },
    { code: "h264", ok: media && MediaSource.isTypeSupported(H264), needed: true, detail: "" },
    { code: "websocket", ok: typeof WebSocket !== "undefined", needed: true, detail: "" },
    { code: "frames", ok: "requestVideoFrameCallback" in HTMLVideoElement.prototype, needed: true, detail: "" },
    { code: "secure", ok: window.isSecureContext, needed: true, detail: location.protocol },
    { code: "h265", ok: media && MediaSource.isTypeSupported(H265), needed: false, detail: "" },
  ];
}
