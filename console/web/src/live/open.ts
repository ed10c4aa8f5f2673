// The one way pages open the live socket: same origin, under the session's purpose.
import { connection } from "../core/api.ts";
import { store } from "../core/session.ts";
import { canPlay } from "./player.ts";
import { LiveSocket } from "./socket.ts";

const H265_CODEC = "hvc1.1.6.L93.B0";

export function openLive(): LiveSocket {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new LiveSocket({
    url: `${scheme}//${location.host}/api/live`,
    purpose: () => store.purpose?.id ?? null,
    h265: canPlay(H265_CODEC),
    clock: (sentMs, receivedMs, serverUs) => store.clock.take({ sentMs, receivedMs, serverUs }),
    signedOut: () => connection.dispatchEvent(new Event("signed_out")),
  });
}
