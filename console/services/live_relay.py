"""Live relay: one upstream per stream, however many browsers watch it. Belongs to one event loop and never blocks it.

Each gateway has one socket (`live_link`), opened by the first subscription to one of its streams. What it sends is
kept per stream: the last info, state and init segment and the frames since the last key frame, so that a second viewer
starts at once. When the gateway is lost every viewer is told, and when it is back every stream is subscribed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from console.services.live_viewer import FRAGMENT, HEAD, INIT, KEY, Channel, StreamKey, Viewer
from storage.clock import Clock
from storage.errors import MediaError
from storage.model import GapReason, LiveState

GROUP_BYTES = 8 << 20
"""Frames since the last key frame are kept up to here; a longer group is not kept at all until the next key frame."""
MAX_CHANNEL = 0xFFFF
AWAY = "gateway_away"
"""The cause of states while a gateway does not answer."""
_STATE = ("live", "cause", "since_us", "recording", "recording_since_us")
_INFO = ("stream", "role", "codec", "width", "height", "derived")


class Link(Protocol):
    """The socket to one gateway (`live_link.GatewayLink`)."""

    def send(self, message: dict[str, Any]) -> None:
        """Queue a control message when connected; dropped otherwise, because a reconnect says everything again."""
        ...

    async def close(self) -> None:
        """Close the socket and wait for its task."""
        ...


class LinkEvents(Protocol):
    """What a link tells its relay; all on the loop's thread."""

    def connected(self) -> None:
        """The socket is open: subscribe to all that is watched."""
        ...

    def lost(self, since_us: int, *, retried: bool) -> None:
        """The socket is gone, or (`retried`) an attempt to open it failed."""
        ...

    def control(self, message: dict[str, Any]) -> None:
        """A control message."""
        ...

    def media(self, data: bytes) -> None:
        """A media message. Raises MediaError when it is none."""
        ...


OpenLink = Callable[[UUID, LinkEvents], Link]
"""Opens the link of a gateway id and keeps it open until it is closed."""


@dataclass(slots=True)
class _Stream:
    """One stream of a gateway, watched by at least one viewer, as it is or transcoded."""

    id: StreamKey
    upstream: int
    state: dict[str, Any]
    info: dict[str, Any] | None = None
    init: bytes | None = None
    group: list[tuple[bool, bytes]] = field(default_factory=list)
    group_bytes: int = 0
    channels: list[Channel] = field(default_factory=list)


class _Gateway:
    """The streams of one gateway and its link; implements `LinkEvents`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.link: Link | None = None
        self.streams: dict[StreamKey, _Stream] = {}
        self._by_number: dict[int, _Stream] = {}
        self._next = 0

    def watch(self, wanted: StreamKey) -> _Stream:
        stream = self.streams.get(wanted)
        if stream is None:
            stream = _Stream(wanted, self._free_number(), self._unknown(LiveState.CONNECTING, ""))
            self.streams[wanted] = self._by_number[stream.upstream] = stream
            self._subscribe(stream)
        return stream

    def unwatch(self, stream: _Stream) -> None:
        del self.streams[stream.id], self._by_number[stream.upstream]
        if self.link is not None:
            self.link.send({"op": "unsubscribe", "channel": stream.upstream})

    def connected(self) -> None:
        for stream in self.streams.values():
            self._subscribe(stream)

    def lost(self, since_us: int, *, retried: bool) -> None:
        live = LiveState.OFFLINE if retried else LiveState.CONNECTING
        state = self._unknown(live, AWAY) | {"since_us": since_us, "recording_since_us": since_us}
        for stream in self.streams.values():
            stream.info, stream.init, stream.group, stream.group_bytes = None, None, [], 0
            if stream.state != state:
                self._tell_state(stream, state)
            for channel in stream.channels:
                channel.waiting = True

    def control(self, message: dict[str, Any]) -> None:
        stream = self._by_number.get(message.get("channel", -1))
        if stream is None:
            return
        match message.get("op"):
            case "info":
                stream.info = {name: message[name] for name in _INFO if name in message}
                for channel in stream.channels:
                    _say_info(channel, stream)
            case "state":
                self._tell_state(stream, {name: message.get(name) for name in _STATE})
            case "dropped":
                for channel in stream.channels:
                    channel.viewer.say(op="dropped", channel=channel.number, frames=message.get("frames"))
            case "error":
                for channel in stream.channels:
                    channel.viewer.say(op="error", channel=channel.number, code=message.get("code"))

    def media(self, data: bytes) -> None:
        if len(data) < HEAD.size:
            raise MediaError("live_message_invalid", "a media message of the gateway is cut off")
        number, kind, flags = HEAD.unpack_from(data)
        stream = self._by_number.get(number)
        if stream is None:
            return  # unsubscribed a moment ago
        payload = data[HEAD.size :]
        if kind == INIT:
            stream.init, stream.group, stream.group_bytes = payload, [], 0
            for channel in stream.channels:
                channel.viewer.send_init(channel, payload)
        elif kind == FRAGMENT:
            key = bool(flags & KEY)
            _keep(stream, key, payload)
            for channel in stream.channels:
                channel.viewer.send_frame(channel, key, payload)

    def _subscribe(self, stream: _Stream) -> None:
        if self.link is not None:
            asked = {"op": "subscribe", "channel": stream.upstream, "stream": str(stream.id.stream_id)}
            self.link.send(asked | ({"transcode": True} if stream.id.transcode else {}))

    def _tell_state(self, stream: _Stream, state: dict[str, Any]) -> None:
        stream.state = state
        for channel in stream.channels:
            channel.viewer.say(op="state", channel=channel.number, **state)

    def _unknown(self, live: LiveState, cause: str) -> dict[str, Any]:
        now_us = self._clock.now_us()
        return {
            "live": live.value,
            "cause": cause,
            "since_us": now_us,
            "recording": GapReason.UNKNOWN.value,
            "recording_since_us": now_us,
        }

    def _free_number(self) -> int:
        """A number not in use and not used a moment ago, so that late frames of a former stream are recognised."""
        if len(self._by_number) > MAX_CHANNEL:
            raise MediaError("too_many_streams", "more streams are watched than one socket has channels")
        while self._next in self._by_number:
            self._next = (self._next + 1) & MAX_CHANNEL
        number = self._next
        self._next = (self._next + 1) & MAX_CHANNEL
        return number


class LiveRelay:
    """Subscribes viewers to streams."""

    def __init__(self, open_link: OpenLink, clock: Clock) -> None:
        self._open_link = open_link
        self._clock = clock
        self._gateways: dict[UUID, _Gateway] = {}
        self._homes: dict[StreamKey, _Gateway] = {}

    def subscribe(
        self,
        viewer: Viewer,
        number: int,
        gateway_id: UUID,
        stream_id: UUID,
        *,
        keys_only: bool = False,
        transcode: bool = False,
    ) -> None:
        """Send a stream on a viewer's channel: info, state, init, the group kept, then every frame as it comes.

        `transcode` asks for H.265 as H.264, which the gateway makes for it.
        """
        self.unsubscribe(viewer, number)
        gateway = self._gateways.get(gateway_id)
        if gateway is None:
            gateway = self._gateways[gateway_id] = _Gateway(self._clock)
            gateway.link = self._open_link(gateway_id, gateway)
        wanted = StreamKey(stream_id, transcode)
        stream = gateway.watch(wanted)
        self._homes[wanted] = gateway
        channel = Channel(number, wanted, keys_only, viewer)
        viewer.channels[number] = channel
        stream.channels.append(channel)
        if stream.info is not None:
            _say_info(channel, stream)
        viewer.say(op="state", channel=number, **stream.state)
        if stream.init is not None:
            viewer.send_init(channel, stream.init)
            viewer.send_group(channel, stream.group)

    def unsubscribe(self, viewer: Viewer, number: int) -> None:
        """Stop a viewer's channel, if it is in use; the last viewer's leaving ends the upstream."""
        channel = viewer.channels.pop(number, None)
        if channel is None:
            return
        viewer.forget(number)
        gateway = self._homes[channel.stream]
        stream = gateway.streams[channel.stream]
        stream.channels.remove(channel)
        if not stream.channels:
            gateway.unwatch(stream)
            del self._homes[channel.stream]

    def leave(self, viewer: Viewer) -> None:
        """The viewer's socket is gone."""
        for number in list(viewer.channels):
            self.unsubscribe(viewer, number)

    async def close(self) -> None:
        """Close every link and wait."""
        gateways, self._gateways = list(self._gateways.values()), {}
        for gateway in gateways:
            if gateway.link is not None:
                await gateway.link.close()


def _say_info(channel: Channel, stream: _Stream) -> None:
    if stream.info is not None:
        channel.viewer.say(op="info", channel=channel.number, **stream.info)


def _keep(stream: _Stream, key: bool, payload: bytes) -> None:
    if key:
        stream.group, stream.group_bytes = [], 0
    if not key and not stream.group:
        return
    stream.group.append((key, payload))
    stream.group_bytes += len(payload)
    if stream.group_bytes > GROUP_BYTES:
        stream.group, stream.group_bytes = [], 0
