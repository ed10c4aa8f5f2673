"""The HTTP side of one virtual device: SOAP under /onvif/, snapshots, and the face of a camera with ONVIF off."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from xml.sax.saxutils import escape

from aiohttp import web

from deploy.virtual_camera.accounts import Accounts, Verdict
from deploy.virtual_camera.services import OnvifServices
from deploy.virtual_camera.soap import Call, SoapFault, envelope, fault, read_call

_MAX_REQUEST = 1 << 20
_REALM = "Virtual Camera"
_SOAP_TYPE = "application/soap+xml; charset=utf-8"
_FORBIDDEN = {
    Verdict.WRONG: "The username or password is wrong",
    Verdict.LOCKED: "The account is locked because of too many failed logins",
    Verdict.STALE: "The token's time is too far from the device's",
    Verdict.REPLAYED: "The token was used before",
}


class OnvifHttp:
    """Listens on one port for one device."""

    def __init__(self, services: OnvifServices, accounts: Accounts, snapshot: Callable[[str], bytes | None]) -> None:
        self._services = services
        self._accounts = accounts
        self._snapshot = snapshot
        self._oddities = services.about.device.oddities
        self._nonce = secrets.token_hex(16)
        self._runner: web.AppRunner | None = None
        self.enabled = True

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port."""
        application = web.Application(client_max_size=_MAX_REQUEST)
        application.router.add_post("/onvif/{service}", self._soap)
        application.router.add_get("/onvif/snapshot/{token}", self._picture)
        application.router.add_get("/", self._page)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _page(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="<html><title>Web service</title></html>", content_type="text/html")

    async def _soap(self, request: web.Request) -> web.Response:
        if not self.enabled:
            raise web.HTTPNotFound(text="<html>404 Not Found</html>", content_type="text/html")
        body = await request.read()
        try:
            call = read_call(body)
            if self._services.needs_login(call):
                self._authorise(call, request)
            answer = self._services.answer(call)
        except SoapFault as error:
            return self._fault(error)
        return web.Response(body=envelope(answer, _addressing(call)), headers={"Content-Type": _SOAP_TYPE})

    def _authorise(self, call: Call, request: web.Request) -> None:
        header = request.headers.get("Authorization", "")
        if header:
            verdict = self._accounts.check_http_digest(header, request.method, _REALM, self._nonce)
        elif call.token is not None and not self._oddities.http_digest_only:
            token = call.token
            verdict = self._accounts.check_token(token.username, token.digest, token.nonce, token.created)
        else:
            raise SoapFault("Sender", ("ter:NotAuthorized",), "Sender not authorized")
        if verdict is not Verdict.OK:
            raise SoapFault("Sender", ("ter:NotAuthorized",), _FORBIDDEN[verdict])

    def _fault(self, error: SoapFault) -> web.Response:
        status = self._oddities.fault_status if error.code == "Sender" else 500
        headers = {"Content-Type": _SOAP_TYPE}
        if "ter:NotAuthorized" in error.subcodes and self._oddities.http_digest_only:
            status = 401
            headers["WWW-Authenticate"] = self._challenge()
        return web.Response(status=status, body=fault(error), headers=headers)

    def _challenge(self) -> str:
        return f'Digest realm="{_REALM}", nonce="{self._nonce}", qop="auth", algorithm=MD5'

    async def _picture(self, request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        verdict = self._accounts.check_http_digest(header, request.method, _REALM, self._nonce)
        if verdict is not Verdict.OK:
            return web.Response(status=401, headers={"WWW-Authenticate": self._challenge()})
        picture = self._snapshot(request.match_info["token"])
        if picture is None:
            raise web.HTTPNotFound
        return web.Response(body=picture, content_type="image/jpeg")


def _addressing(call: Call) -> str:
    if not call.message_id:
        return ""
    return f"<wsa:RelatesTo>{escape(call.message_id)}</wsa:RelatesTo>"
