"""The one border to onvif-zeep-async: requests out, plain dictionaries in, every foreign exception translated.

Contained here: the package calls `logging.basicConfig` when imported; it knows no limit on replies; it follows
redirects; a reply that is no XML makes zeep raise AttributeError. Its `ONVIFCamera` deletes proxy variables, so only
its `ONVIFService` is used.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import aiohttp

from camera_gateway.onvif.addresses import bracketed
from camera_gateway.onvif.xml_guard import MAX_BODY, ForbiddenXml, NotXml, check_xml
from storage.errors import DeviceError, DeviceFault

_root = logging.getLogger()
_shield = logging.NullHandler()
_root.addHandler(_shield)  # with a handler on the root, logging.basicConfig does nothing
try:
    import onvif.client
    import zeep.exceptions
    from onvif.client import ONVIFService
    from onvif.exceptions import ONVIFError
    from onvif.zeep_aiohttp import AIOHTTPTransport
    from zeep.helpers import serialize_object
finally:
    _root.removeHandler(_shield)

_BUNDLED = Path(onvif.client.__file__).with_name("wsdl")
_OWN = Path(__file__).with_name("wsdl")
_LOCKED = re.compile(r"\block(ed|out)?\b|too many|锁定", re.IGNORECASE)
_STALE = re.compile(r"\b(clock|timestamp|expired|time is too)\b", re.IGNORECASE)
_UNAUTHORISED = ("NotAuthorized", "FailedAuthentication", "InvalidSecurityToken", "FailedCheck", "Unauthorized")
_UNSUPPORTED = ("ActionNotSupported", "NotSupported", "OptionalActionNotImplemented")


class Service(StrEnum):
    """The services that Sunhall calls, by namespace."""

    DEVICE = "http://www.onvif.org/ver10/device/wsdl"
    MEDIA = "http://www.onvif.org/ver10/media/wsdl"
    MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"


_FILES = {
    Service.DEVICE: (_BUNDLED / "devicemgmt.wsdl", "DeviceBinding"),
    Service.MEDIA: (_BUNDLED / "media.wsdl", "MediaBinding"),
    Service.MEDIA2: (_OWN / "media2.wsdl", "Media2Binding"),
}


class Silence(StrEnum):
    """What came instead of SOAP."""

    REFUSED = "refused"
    NOT_HTTP = "not_http"
    REDIRECT = "redirect"
    NOT_SOAP = "not_soap"


class NoSoap(Exception):
    """The port answered something else than SOAP; what that means is for the probe to weigh."""

    def __init__(self, silence: Silence, detail: str) -> None:
        super().__init__(detail)
        self.silence = silence
        self.detail = detail


class NotSupported(Exception):
    """The device says that it does not know the operation."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """User, password and how far the device's clock is ahead of ours (tokens are signed with its time)."""

    username: str
    password: str
    offset_us: int = 0


class _Transport(AIOHTTPTransport):  # type: ignore[misc]  # the package has no types
    """Bounded replies, no redirects, no compression, no DTD."""

    async def _post_internal(
        self, address: str, message: str | bytes, headers: dict[str, str]
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        data = message.encode() if isinstance(message, str) else message
        own = {**(headers or {}), "Accept-Encoding": "identity"}
        own.setdefault("Content-Type", "application/soap+xml; charset=utf-8")
        async with self.session.post(address, data=data, headers=own, allow_redirects=False) as response:
            content = await _read(response)
        _judge(response, content)
        return response, content


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DeviceError(DeviceFault.PROTOCOL, "the device compresses replies although it was asked not to")
    content = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > MAX_BODY:
            raise DeviceError(DeviceFault.PROTOCOL, f"the device sent more than {MAX_BODY} bytes for one reply")
    return bytes(content)


def _judge(response: aiohttp.ClientResponse, content: bytes) -> None:
    """Pass quietly when the reply is a SOAP envelope (a fault is one too)."""
    if 300 <= response.status < 400:
        raise NoSoap(Silence.REDIRECT, f"HTTP {response.status} to {response.headers.get('Location', '')[:200]}")
    try:
        root = check_xml(content)
    except ForbiddenXml as error:
        raise DeviceError(DeviceFault.PROTOCOL, f"the device's reply has {error}") from error
    except NotXml as error:
        _judge_status(response.status, content)
        raise NoSoap(Silence.NOT_SOAP, f"HTTP {response.status}, no XML") from error
    if root != "Envelope":
        _judge_status(response.status, content)
        raise NoSoap(Silence.NOT_SOAP, f"HTTP {response.status}, <{root[:40]}> instead of a SOAP envelope")


def _judge_status(status: int, content: bytes) -> None:
    """HTTP's own refusals, when no SOAP fault says more."""
    if status in (401, 403):
        raise _refusal(content[:2000].decode("utf-8", errors="replace"), f"HTTP {status}")


def _refusal(text: str, what: str) -> DeviceError:
    if _LOCKED.search(text):
        return DeviceError(DeviceFault.ACCOUNT_LOCKED, f"{what}: the account is locked; wait or unlock it there")
    if _STALE.search(text):
        return DeviceError(DeviceFault.CLOCK_OFF, f"{what}: it finds our token's time wrong; set its clock")
    return DeviceError(DeviceFault.WRONG_PASSWORD, f"{what}: user or password is wrong")


class SoapClient:
    """Talks to one device at one address. Use as an async context manager; one event loop, no sharing."""

    def __init__(self, host: str, port: int, timeout_s: float, connect_timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None
        self._services: dict[tuple[Service, str], Any] = {}
        self.device_url = f"http://{bracketed(host)}:{port}/onvif/device_service"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def sign_in(self, credentials: Credentials) -> None:
        """Sign all further calls. HTTP digest is used when the device asks for it."""
        await self._close()
        self._credentials = credentials

    async def call(
        self, service: Service, url: str, operation: str, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request. The answer is a dictionary; an answer that is a list or text stands under `value`.

        Raises:
            DeviceError: the device refused or misbehaved.
            NoSoap: something answered that is no SOAP.
            NotSupported: the device does not know the operation.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._client(service, url)
                answer = await getattr(client, self._prefix() + operation)(dict(parameters or {}))
            value = serialize_object(answer, dict)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise DeviceError(DeviceFault.TIMEOUT, f"no answer to {operation} in {self._timeout_s:g} s") from error
        except zeep.exceptions.Fault as error:
            raise _translate_fault(error, operation) from error
        except aiohttp.ClientError as error:
            raise _translate_client_error(error) from error
        except (zeep.exceptions.Error, ONVIFError, ValueError, TypeError, AttributeError, LookupError) as error:
            message = f"the answer to {operation} is not as ONVIF says: {type(error).__name__}"
            raise DeviceError(DeviceFault.PROTOCOL, message) from error
        return value if isinstance(value, dict) else {"value": value}

    async def prepare(self, service: Service, url: str) -> None:
        """Load what a first call would load, so that its round trip can be timed."""
        await self._client(service, url)

    def _prefix(self) -> str:
        return "" if self._credentials is not None else "authless_"

    async def _client(self, service: Service, url: str) -> Any:
        key = (service, url)
        if key not in self._services:
            self._services[key] = await self._open(service, url)
        return self._services[key]

    async def _open(self, service: Service, url: str) -> Any:
        path, binding = _FILES[service]
        signer = self._credentials or Credentials("", "")
        client = ONVIFService(
            url,
            signer.username,
            signer.password,
            str(path),
            no_cache=True,
            dt_diff=timedelta(microseconds=signer.offset_us),
            binding_name=f"{{{service.value}}}{binding}",
        )
        client.transport = _Transport(session=self._web())
        await client.setup()
        return client

    def _web(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=self._connect_timeout_s)
            digest: tuple[aiohttp.ClientMiddlewareType, ...] = ()
            if self._credentials is not None:
                digest = (aiohttp.DigestAuthMiddleware(self._credentials.username, self._credentials.password),)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                timeout=timeout,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=digest,
            )
        return self._session

    async def _close(self) -> None:
        for client in self._services.values():
            await client.close()
        self._services.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None


def _translate_fault(error: zeep.exceptions.Fault, operation: str) -> Exception:
    codes = " ".join(str(getattr(code, "text", code)) for code in [error.code, *(error.subcodes or ())])
    reason = str(error.message or "")[:300]
    if any(word in codes for word in _UNAUTHORISED) or "not authorized" in reason.lower():
        return _refusal(f"{codes} {reason}", "the device refused the login")
    if any(word in codes for word in _UNSUPPORTED):
        return NotSupported(f"{operation}: {reason}")
    if _LOCKED.search(reason):
        return _refusal(reason, "the device refused the login")
    return DeviceError(DeviceFault.PROTOCOL, f"{operation} failed on the device: {reason or codes}")


def _translate_client_error(error: aiohttp.ClientError) -> Exception:
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.os_error.errno == errno.ECONNREFUSED:
            return NoSoap(Silence.REFUSED, "connection refused")
        return DeviceError(DeviceFault.UNREACHABLE, f"cannot connect: {error.os_error.strerror}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return DeviceError(DeviceFault.PROTOCOL, "the reply ends early")
    return NoSoap(Silence.NOT_HTTP, type(error).__name__)
