"""Open to everybody: health, the local authority, the description of the API, and the files of the front end."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from console.routes.guard import Guard
from console.services.access import Actor
from storage.errors import NotFound

DOCS = Path(__file__).parent.parent / "apidocs"
BUILT = Path(__file__).parent.parent / "web" / "dist"
ASSETS = "assets/"
IMMUTABLE = "public, max-age=31536000, immutable"
MACHINE_PATHS = ("api/", "agent/", "intake/", "health", "assets/")
NOT_BUILT = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>阳光大厅</title>
<p>网页尚未构建。请运行 <code>make web</code> 后重新打开。</p>
<p>The front end is not built: run <code>make web</code> and open this page again.</p></html>"""


class WebFiles:
    """The built front end by a list of its files, so that no path can lead out of the folder.

    The list is made again when the page was built again, so that a running console serves what is there.
    """

    def __init__(self, folder: Path) -> None:
        """Raises nothing when the folder is missing: then a page says how to build it."""
        self._folder = folder
        self._built = self._page_time()
        self._files = self._listed()

    def find(self, name: str) -> Path | None:
        """The file of that path below the folder."""
        built = self._page_time()
        if built != self._built or (name.startswith(ASSETS) and name not in self._files):
            self._built, self._files = built, self._listed()
        return self._files.get(name)

    @property
    def index(self) -> Path | None:
        """The application's one page."""
        return self.find("index.html")

    def _listed(self) -> dict[str, Path]:
        found = self._folder.rglob("*") if self._folder.is_dir() else ()
        return {path.relative_to(self._folder).as_posix(): path for path in found if path.is_file()}

    def _page_time(self) -> int:
        try:
            return (self._folder / "index.html").stat().st_mtime_ns
        except OSError:
            return 0


def router(files: WebFiles, authority: Path | None, guard: Guard) -> APIRouter:
    """Routes for everybody. Include it last: it answers every path that nobody else does."""
    routes = APIRouter(tags=["system"])
    docs = WebFiles(DOCS)

    @routes.get(
        "/health", summary="Is the console up?", description="For supervisors of processes; tells nothing else."
    )
    def health(actor: Annotated[Actor, guard.public("tells only that the process answers")]) -> dict[str, bool]:
        return {"ok": True}

    @routes.get(
        "/ca.pem",
        summary="The local authority's certificate",
        description="Compare its SHA-256 fingerprint (密钥校验码) with the one printed at start before you trust it.",
        response_class=Response,
        responses={200: {"content": {"application/x-pem-file": {}}}},
    )
    def authority_pem(actor: Annotated[Actor, guard.public("a certificate is public")]) -> Response:
        if authority is None:
            raise NotFound("no_local_authority", "this console uses a certificate of another authority")
        return Response(authority.read_bytes(), media_type="application/x-pem-file")

    @routes.get("/api/openapi.json", summary="This description", description="OpenAPI 3.1 of all routes.")
    def openapi(
        request: Request, actor: Annotated[Actor, guard.public("describes the interface, holds no data")]
    ) -> dict[str, Any]:
        document: dict[str, Any] = request.app.openapi()
        return document

    @routes.get("/api/docs", include_in_schema=False)
    def docs_page(actor: Annotated[Actor, guard.public("describes the interface, holds no data")]) -> Response:
        return _file(docs.index)

    @routes.get("/api/docs/{name}", include_in_schema=False)
    def docs_file(name: str, actor: Annotated[Actor, guard.public("describes the interface")]) -> Response:
        return _file(docs.find(name))

    @routes.get("/{path:path}", include_in_schema=False)
    def page(path: str, actor: Annotated[Actor, guard.public("the application's own files hold no data")]) -> Response:
        found = files.find(path)
        if found is not None and path != "index.html":
            return _file(found, IMMUTABLE if path.startswith(ASSETS) else "no-cache")
        if path.startswith(MACHINE_PATHS):
            raise NotFound("not_found", "there is no such path")
        if files.index is None:
            return HTMLResponse(NOT_BUILT, status_code=503)
        return _file(files.index)

    return routes


def _file(path: Path | None, caching: str = "no-cache") -> Response:
    if path is None:
        raise NotFound("not_found", "there is no such path")
    return FileResponse(path, headers={"Cache-Control": caching})
