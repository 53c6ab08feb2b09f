"""The page at `/`: a few words while the program starts, then gradio, which joins a server that already runs."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from modules.cli import Login
from modules.web.rest.errors import render
from modules.web.ui import html
from modules.web.ui.cards import cards_ui_router
from modules.web.ui.context import UiContext
from modules.web.ui.page import Identify, Page
from modules.web.ui.routes import PREFIX, ui_router
from modules.web.ui.wall import Wall

logger = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
Build = Callable[[UiContext, Sequence[Login]], Page]
Life = Callable[[Any], contextlib.AbstractAsyncContextManager[Any]]


class Interface:
    """Answers every address that no route of the server answers.

    Made before the server runs, because importing gradio takes seconds during which it should answer already.

    Args:
        app: the application that the server runs, all of its own routes included.
        logins: who may use the page; empty lets everyone in. Holds for every route that the server does not guard.
    """

    def __init__(self, app: FastAPI, *, logins: Sequence[Login] = ()) -> None:
        self._outer, self._logins = app, tuple(logins)
        self._identify: Identify = lambda _request: None
        self._gradio: ASGIApp | None = None
        self._stage = "Starting"
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._shown: _Life | None = None
        self.blocks: Any = None
        """What gradio built, of the page that is shown; None before there is one."""
        self._closed = False
        self._building = threading.Lock()
        self._make: Callable[[], Page] | None = None
        app.include_router(ui_router())
        app.include_router(cards_ui_router())
        app.mount(f"{PREFIX}/assets", Assets(directory=ASSETS), name="ui-assets")
        app.router.lifespan_context = self._around(app.router.lifespan_context)
        # The default answers what no route does. A mount at "/" would also swallow wrong methods of known routes.
        app.router.default = self
        # Innermost, so that it sees paths without a proxy's prefix and whom the server has let in by itself.
        wall = Middleware(Wall, logins=self._logins, identify=lambda request: self._identify(request))
        app.user_middleware.append(wall)

    def load(self, context: UiContext, build: Build | None = None) -> bool:
        """Import gradio, build the page and show it; takes seconds and returns when that is done.

        A failure is logged and shown instead of the page, while the API goes on. Call it in a thread of its own.

        Args:
            context: what the page works with.
            build: makes the application that serves the page.

        Returns:
            Whether the page is there.
        """
        self._outer.state.ui_context = context
        try:
            self._stage = "Loading the interface"
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            os.environ["GRADIO_TEMP_DIR"] = str(context.temp)
            if build is None:
                from modules.web.ui.build import application as build
            self._make = partial(build, context, self._logins)
            self.rebuild()
        except Exception:
            logger.exception("the interface could not be built")
            self._stage = "The interface could not be built; the log says why. The API works."
            return False
        logger.info("the interface is ready")
        return True

    def rebuild(self) -> None:
        """Build the page, in place of the one before if there is one, which serves until then; takes seconds.

        Raises:
            RuntimeError: the program has not come so far, or ends.
        """
        if self._make is None:
            raise RuntimeError("the interface is starting")
        with self._building:
            page = self._make()
            asyncio.run_coroutine_threadsafe(self._start(page), self._loop.result()).result()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if self._gradio is not None:
            await self._gradio(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})
        else:
            await self._while_starting(Request(scope))(scope, receive, send)

    def _while_starting(self, request: Request) -> Response:
        if request.url.path.rstrip("/") != request.scope.get("root_path", "").rstrip("/"):
            return render(HTTPException(404, "Not Found"))
        page = html.element("main", html.element("h1", "Stable Diffusion"), html.element("p", f"{self._stage} ..."))
        return HTMLResponse(LOADING.replace("<main></main>", page), 503, {"Retry-After": "1"})

    def _around(self, inner: Life) -> Life:
        """Wrap the life of the server: learn its event loop at the start, end gradio before it ends."""

        @contextlib.asynccontextmanager
        async def life(app: FastAPI) -> AsyncIterator[Any]:
            async with inner(app) as state:
                self._loop.set_result(asyncio.get_running_loop())
                try:
                    yield state
                finally:
                    self._closed = True
                    if self._shown is not None:
                        await self._shown.end()

        return life

    async def _start(self, page: Page) -> None:
        """Run gradio's own start-up, then let it answer."""
        if self._closed:
            raise RuntimeError("the server stops")
        life = _Life(page.app)
        await life.begin()
        before, self._shown = self._shown, life
        self._gradio, self._identify, self.blocks = page.app, page.identify, page.blocks
        if before is not None:
            await before.end()


class _Life:
    """The life of one page inside that of the server; entered and left by one task, as anyio demands."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Return when the page can answer."""
        self._running = asyncio.create_task(self._live())
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._running.done():
            await self._running

    async def end(self) -> None:
        """Return when nothing of the page is left."""
        self._closing.set()
        if self._running is not None:
            await self._running

    async def _live(self) -> None:
        async with self._app.router.lifespan_context(self._app):
            self._ready.set()
            await self._closing.wait()


class Assets(StaticFiles):
    """Our scripts and style sheets; browsers ask each time whether they changed."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Answer with a file."""
        response = super().file_response(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        response.headers["Cache-Control"] = "no-cache"
        return response


LOADING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="1">
<title>Stable Diffusion</title>
<style>
  :root { color-scheme: light dark; font-family: system-ui, sans-serif }
  body { display: grid; place-items: center; min-height: 90vh; margin: 0 }
  main { text-align: center }
  h1 { font-weight: 600 }
  p { opacity: .7 }
</style>
<main></main>
</html>
"""
