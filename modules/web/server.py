"""The web server: it listens first, becomes useful when the services are attached, and stops cleanly."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from modules.cli import RESTART, LaunchConfig
from modules.domain.errors import WebuiError
from modules.domain.version import VERSION
from modules.web.rest.absent import absent_router
from modules.web.rest.cards import cards_router
from modules.web.rest.checkpoint import checkpoint_router
from modules.web.rest.control import control_router
from modules.web.rest.errors import render
from modules.web.rest.extensions import extensions_router
from modules.web.rest.extras import extras_router
from modules.web.rest.guard import Gate, Origins
from modules.web.rest.internal import internal_router
from modules.web.rest.jobs import jobs_router
from modules.web.rest.listings import listings_router
from modules.web.rest.networks import networks_router
from modules.web.rest.options import options_router
from modules.web.rest.pictures import pictures_router
from modules.web.rest.script_list import script_list_router
from modules.web.rest.sdapi import sdapi_router
from modules.web.rest.sysinfo import sysinfo_router
from modules.web.rest.v1 import v1_router
from modules.web.rest.v2.docs import TAGS
from modules.web.rest.v2.openai_shape import OpenAiErrors
from modules.web.rest.v2.routers import v2_routers
from modules.web.rest.wire import (
    API_PATHS,
    MAX_HEADER_BYTES,
    Admission,
    Body,
    Clock,
    OneRange,
    Squeeze,
    Subpath,
    route_path,
)
from modules.web.services import Services
from modules.web.stopping import Stopping

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
QUICK_STOP_S = 2.0
"""How long the running job gets after Ctrl-C."""
_FIRST_MAX_BODY = 100 << 20


def create_app(config: LaunchConfig) -> FastAPI:
    """Make the application. It answers pings at once and everything else after `attach_services`."""
    app = FastAPI(title="web UI", version=VERSION, redirect_slashes=False, openapi_tags=TAGS)
    app.state.services = None
    app.add_exception_handler(HTTPException, _unknown_path)
    app.include_router(internal_router())
    if config.api or config.nowebui:
        app.include_router(sdapi_router())
    app.include_router(jobs_router())
    for router in v2_routers(api=config.api or config.nowebui, metrics=config.metrics):
        app.include_router(router)
    app.include_router(sysinfo_router())
    app.include_router(extensions_router(api=config.api or config.nowebui))
    app.include_router(cards_router())
    if config.api or config.nowebui:
        for router in (
            v1_router(),
            listings_router(),
            script_list_router(),
            networks_router(),
            checkpoint_router(),
            options_router(),
            pictures_router(),
            extras_router(),
            absent_router(),
        ):
            app.include_router(router)
        if config.api_server_stop:
            app.include_router(control_router())
    _wrap(app, config)
    return app


def attach_services(app: FastAPI, services: Services) -> None:
    """Make the application useful."""
    app.state.services = services


def serve(app: FastAPI, config: LaunchConfig, build: Callable[[], Services]) -> int:
    """Listen, build the services meanwhile, and serve until a signal comes.

    Ctrl-C interrupts the running job and ends within two seconds; SIGTERM lets it finish for `--shutdown-timeout`
    seconds. A second signal ends the process at once. Clients may end it too with `--api-server-stop`.

    Args:
        app: made by `create_app`.
        config: address, port, TLS.
        build: makes the services; runs in a thread of its own once the server listens.

    Returns:
        The exit status; `RESTART` asks for being started again.

    Raises:
        WebuiError: the port is taken.
    """
    listener = _listen(config.host, config.port)
    server = Server(_uvicorn_config(app, config), app, config.shutdown_timeout)
    app.state.stopping = Stopping(end=server.end)
    threading.Thread(target=server.prepare, args=(build,), name="starting", daemon=True).start()
    server.run(sockets=[listener])
    return server.finish()


class Server(uvicorn.Server):
    """A server that ends its jobs before it ends its connections."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, shutdown_timeout_s: float) -> None:
        super().__init__(config)
        self._app, self._timeout_s = app, shutdown_timeout_s
        self._stopper: threading.Thread | None = None
        self._status = 0

    def prepare(self, build: Callable[[], Services]) -> None:
        """Build and attach the services; a failure ends the server, since it could never answer."""
        try:
            services = build()
        except Exception:
            logger.exception("the program could not start")
            self._status = 1
            self.should_exit = True
            return
        attach_services(self._app, services)
        if self.should_exit:
            services.engine.shutdown(0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end a program while the server runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self, timeout_s: float, *, finish_running: bool) -> None:
        """End the jobs, then the connections."""
        services = cast("Services | None", self._app.state.services)
        if services is not None:
            services.desk.close()
            if not services.engine.shutdown(timeout_s, finish_running=finish_running):
                logger.warning("the running job did not end within %g s", timeout_s)
                self._status = self._status or 1
        self.should_exit = True

    def finish(self) -> int:
        """Wait for the jobs to be written down and return the exit status."""
        if self._stopper is None:
            self.stop(QUICK_STOP_S, finish_running=False)
        else:
            self._stopper.join()
        services = cast("Services | None", self._app.state.services)
        if services is not None:
            services.ledger.close()
        return self._status

    def end(self, *, finish_running: bool, again: bool = False) -> None:
        """Begin to end; only the first call counts.

        Args:
            finish_running: give the running job `--shutdown-timeout` seconds to finish.
            again: ask for being started again.
        """
        if self._stopper is not None:
            return
        self._status = RESTART if again else self._status
        self.config.timeout_graceful_shutdown = 5 if finish_running else 1
        timeout_s = self._timeout_s if finish_running else QUICK_STOP_S / 2
        self._stopper = threading.Thread(
            target=self.stop, args=(timeout_s,), kwargs={"finish_running": finish_running}, name="stopping", daemon=True
        )
        self._stopper.start()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stopper is not None:
            os._exit(1)
        logger.info("stopping; a second signal ends the program at once")
        self.end(finish_running=number == signal.SIGTERM)


def _wrap(app: FastAPI, config: LaunchConfig) -> None:
    """Put the layers around the application; the one added last is the outermost."""
    origins = Origins(
        only_loopback=not config.is_remote, server_name=config.server_name, allowed=config.cors_allow_origins,
        pattern=config.cors_allow_origins_regex,
    )  # fmt: skip
    app.add_middleware(OneRange)
    app.add_middleware(Body, max_bytes=lambda: _max_body(app))
    app.add_middleware(
        Admission, origins=origins, gate=Gate(config.api_auth), is_ready=lambda: app.state.services is not None,
        guarded=API_PATHS if config.gradio_auth and not config.nowebui else ("/",),
    )  # fmt: skip
    app.add_middleware(OpenAiErrors, below=route_path)
    if config.cors_allow_origins or config.cors_allow_origins_regex:
        app.add_middleware(
            CORSMiddleware, allow_origins=config.cors_allow_origins, allow_methods=["*"], allow_headers=["*"],
            allow_origin_regex=config.cors_allow_origins_regex, allow_credentials="*" not in config.cors_allow_origins,
        )  # fmt: skip
    app.add_middleware(Squeeze)
    app.add_middleware(Clock, log_api=config.api_log)
    if config.subpath:
        app.add_middleware(Subpath, prefix=config.subpath)


def _max_body(app: FastAPI) -> int:
    services = cast("Services | None", app.state.services)
    return _FIRST_MAX_BODY if services is None else services.settings.snapshot().api.api_max_body_mb << 20


async def _unknown_path(_request: Request, error: Exception) -> Response:
    return render(error)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        raise WebuiError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port with --port") from None
    return listener


def _uvicorn_config(app: FastAPI, config: LaunchConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app, http="h11", loop="asyncio", log_config=None, access_log=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES, limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=config.timeout_keep_alive, timeout_graceful_shutdown=5, server_header=False,
        ssl_keyfile=str(config.tls_keyfile) if config.tls_keyfile else None,
        ssl_certfile=str(config.tls_certfile) if config.tls_certfile else None,
    )  # fmt: skip
