"""A user of the console's public API: what a browser does, without the browser."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from storage.errors import SunhallError


class Refused(SunhallError):
    """The console answered with an error; `code` is its code."""


class HallClient:
    """One person's session with a console. Answers are the JSON bodies of docs/interfaces.md, section 9."""

    def __init__(self, base_url: str, certificate_authority: Path, *, timeout_s: float = 60.0) -> None:
        trust = ssl.create_default_context(cafile=str(certificate_authority))
        self._http = httpx.Client(base_url=base_url, verify=trust, timeout=timeout_s, trust_env=False)
        self._origin = base_url
        self._csrf = ""
        self._purpose = ""

    def __enter__(self) -> HallClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str | int) -> Any:
        """The answer to a GET.

        Raises:
            Refused: the console said no, and how.
        """
        return self._answer(self._http.get(path, params=parameters, headers=self._headers()))

    def content(self, path: str, **parameters: str | int) -> httpx.Response:
        """The whole response of a GET whose answer is a picture or a video."""
        response = self._http.get(path, params=parameters, headers=self._headers())
        if response.status_code >= 400:
            self._answer(response)
        return response

    def post(self, path: str, body: Any = None) -> Any:
        """The answer to a POST (None: no body came back)."""
        return self._answer(self._http.post(path, json=body, headers=self._headers()))

    def patch(self, path: str, body: Any) -> Any:
        """The answer to a PATCH."""
        return self._answer(self._http.patch(path, json=body, headers=self._headers()))

    def delete(self, path: str, **parameters: str | int) -> Any:
        """The answer to a DELETE."""
        return self._answer(self._http.delete(path, params=parameters, headers=self._headers()))

    def login(self, login: str, password: str) -> Any:
        """Begin a session; later requests carry its cookie and CSRF token."""
        session = self.post("/api/login", {"login": login, "password": password})
        self._csrf = session["csrf"]
        return session

    def cookie_header(self) -> str:
        """The session's cookie, for a WebSocket beside this session."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._http.cookies.jar)

    def state_purpose(self, code: str, reference: str) -> Any:
        """Say why footage is asked for from now on."""
        purpose = self.post("/api/purposes", {"code": code, "reference": reference})
        self._purpose = purpose["id"]
        return purpose

    def _headers(self) -> dict[str, str]:
        headers = {"Origin": self._origin}
        if self._csrf:
            headers["X-Sunhall-CSRF"] = self._csrf
        if self._purpose:
            headers["X-Sunhall-Purpose"] = self._purpose
        return headers

    def _answer(self, response: httpx.Response) -> Any:
        if response.status_code < 400:
            return response.json() if response.content else None
        request = f"{response.request.method} {response.request.url.path}"
        try:
            error = response.json()["error"]
            code, message, fields = str(error["code"]), str(error.get("message", "")), dict(error.get("fields") or {})
        except (ValueError, KeyError, TypeError):
            code, message, fields = f"http_{response.status_code}", response.text[:300], {}
        raise Refused(code, f"{request}: {code} {message} {fields or ''}".strip())
