"""One browser's live socket: purpose first, permission and audit row before every subscription, checked again.

Independent of the web framework: the route hands in text messages and sends what `viewer.next()` gives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from console.services.access import Action, Actor
from console.services.footage_audit import FootageAudit
from console.services.live_relay import MAX_CHANNEL, LiveRelay
from console.services.live_streams import LiveStreams, Quality, StreamChoice
from console.services.live_viewer import Viewer
from console.services.view_log import ViewLog
from storage.clock import Clock
from storage.errors import InvalidInput, NotAuthenticated, NotPermitted, SunhallError
from storage.ids import parse_id
from storage.model import GapReason, LiveState, Span

MAX_TEXT = 4096
MAX_CHANNELS = 64
RECHECK_S = 30.0

T = TypeVar("T")
Recheck = Callable[[Actor, Action], Actor]
WithPurpose = Callable[[Actor, Action, str], Actor]


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What every live socket works with. `recheck` and `with_purpose` are the guard's, and block."""

    relay: LiveRelay
    streams: LiveStreams
    audit: FootageAudit
    views: ViewLog
    clock: Clock
    recheck: Recheck
    with_purpose: WithPurpose


class LiveSession:
    """The protocol of one socket. All methods run on the relay's loop; blocking work goes to threads."""

    def __init__(self, parts: LiveParts, actor: Actor) -> None:
        self._parts = parts
        self._actor = actor
        self.viewer = Viewer()
        self._watching: dict[int, tuple[UUID, int]] = {}  # channel -> (stream, since)

    async def handle(self, text: str) -> None:
        """Take one message; what is wrong with it is said to the browser.

        Raises:
            NotAuthenticated: the session ended: close the socket.
        """
        channel: int | None = None
        try:
            message = _message(text)
            channel = message.get("channel") if type(message.get("channel")) is int else None
            await self._act(message)
        except NotAuthenticated:
            raise
        except NotPermitted as error:
            if channel is not None:
                self._refuse(channel, LiveState.NO_PERMISSION, error.code)
            self.viewer.say(op="error", channel=channel, code=error.code)
        except SunhallError as error:
            self.viewer.say(op="error", channel=channel, code=error.code)

    async def watch_over(self) -> None:
        """Ask every 30 s whether the session may still do what it does; returns never.

        Raises:
            NotAuthenticated: the session ended, or the account was disabled.
            NotPermitted: the roles changed.
        """
        while True:
            await self._parts.clock.sleep_async(RECHECK_S)
            action = Action.LIVE_VIEW if self._actor.purpose else Action.SESSION_USE
            self._actor = await asyncio.to_thread(self._parts.recheck, self._actor, action)
            for channel in self._watching:
                self._note(channel)

    def close(self) -> None:
        """The socket is gone: leave every stream and note what was watched."""
        for channel in list(self._watching):
            self._stop(channel)
        self._parts.relay.leave(self.viewer)

    async def _act(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "purpose":
                purpose_id = str(message.get("id", ""))
                self._actor = await asyncio.to_thread(
                    self._parts.with_purpose, self._actor, Action.LIVE_VIEW, purpose_id
                )
            case "subscribe":
                await self._subscribe(message)
            case "unsubscribe":
                self._stop(_channel(message))
            case "ping":
                self.viewer.say(op="pong", n=_small(message.get("n")), now_us=self._parts.clock.now_us())
            case _:
                raise InvalidInput("operation_unknown", "purpose, subscribe, unsubscribe or ping")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        channel = _channel(message)
        self._stop(channel)
        if len(self._watching) >= MAX_CHANNELS:
            raise InvalidInput("too_many_channels", f"one socket carries {MAX_CHANNELS} streams", limit=MAX_CHANNELS)
        choice = await asyncio.to_thread(self._open, message)
        self._watching[channel] = (choice.stream_id, self._parts.clock.now_us())
        self._note(channel)
        self._parts.relay.subscribe(
            self.viewer,
            channel,
            choice.gateway_id,
            choice.stream_id,
            keys_only=message.get("keys_only") is True,
            transcode=_needs_h264(choice, message),
        )

    def _open(self, message: dict[str, Any]) -> StreamChoice:
        """Permission, the stream, the audit row, in this order. Blocking."""
        self._actor = self._parts.recheck(self._actor, Action.LIVE_VIEW)
        choice = self._choose(message)
        detail = {"stream": str(choice.stream_id), "role": choice.role}
        if _needs_h264(choice, message):
            detail["derived"] = "h264"
        self._parts.audit.record(self._actor, "live_view", f"camera:{choice.camera_id}", detail)
        return choice

    def _choose(self, message: dict[str, Any]) -> StreamChoice:
        if "stream" in message:
            return self._parts.streams.of_stream(_id(message["stream"]))
        try:
            quality = Quality(str(message.get("quality", Quality.AUTO)))
        except ValueError as error:
            raise InvalidInput("quality_unknown", "main, sub or auto") from error
        return self._parts.streams.of_camera(_id(message.get("camera")), quality)

    def _stop(self, channel: int) -> None:
        if channel in self._watching:
            self._note(channel)
            del self._watching[channel]
        self._parts.relay.unsubscribe(self.viewer, channel)

    def _note(self, channel: int) -> None:
        stream_id, since_us = self._watching[channel]
        self._parts.views.note(self._actor, "live", stream_id, Span(since_us, self._parts.clock.now_us() + 1))

    def _refuse(self, channel: int, live: LiveState, cause: str) -> None:
        now_us = self._parts.clock.now_us()
        self.viewer.say(
            op="state",
            channel=channel,
            live=live.value,
            cause=cause,
            since_us=now_us,
            recording=GapReason.UNKNOWN.value,
            recording_since_us=now_us,
        )


def _needs_h264(choice: StreamChoice, message: dict[str, Any]) -> bool:
    """Whether the browser needs that stream transcoded: it says so, or the camera it named has only H.265."""
    if "stream" in message:
        return message.get("transcode") is True and not choice.playable
    return not choice.playable and message.get("h265") is not True


def _message(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise InvalidInput("message_large", f"a message has at most {MAX_TEXT} characters", limit=MAX_TEXT)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("message_invalid", "a message is a JSON object") from error
    if not isinstance(message, dict):
        raise InvalidInput("message_invalid", "a message is a JSON object")
    return message


def _channel(message: dict[str, Any]) -> int:
    value = message.get("channel")
    if type(value) is not int or not 0 <= value <= MAX_CHANNEL:
        raise InvalidInput("channel_invalid", f"channel is a number from 0 to {MAX_CHANNEL}")
    return value


def _id(value: Any) -> UUID:
    try:
        return parse_id(value if isinstance(value, str) else "")
    except ValueError as error:
        raise InvalidInput("id_invalid", "name a camera or a stream by its id") from error


def _small(value: Any) -> int:
    return value if type(value) is int and abs(value) < 1 << 53 else 0
