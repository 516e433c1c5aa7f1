"""The server: page and API behind the guard, on one address, with a worker beside it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError
from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.store import Store
from impasto.studio.supervisor import Supervisor
from impasto.studio.web.guard import Guard, Keys, is_loopback

__all__ = ["build_app", "serve"]

# No request of Gradio's leaves this machine: no analytics, no look for newer versions, no share.
_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}

# Seconds for which what is loaded ahead waits for a browser that loads the page.
_PAGE_FIRST = 2.0


def serve(
    folder: Path,
    limits: Limits,
    keys: Keys,
    *,
    host: str,
    port: int,
    say: Callable[[str], None],
    open_page: bool = False,
) -> None:
    """Run a studio until Ctrl-C.

    Raises:
        SettingsError: the host is not this machine's own and no key is wanted; the port is taken;
            an extra is not installed.
        StudioError: the data folder cannot be used.
    """
    _check_keys(host, keys)
    with _listening(host, port) as listener:
        store = Store(folder)
        lock = _lock(store)
        jobs = Jobs(store, limits)
        supervisor = Supervisor(jobs)
        supervisor.start()  # first: it loads torch while we load Gradio
        try:
            _run(build_app(jobs, keys, host=host), listener, _address(host, listener), keys, say,
                 open_page=open_page)  # fmt: skip
        finally:
            supervisor.stop()
            lock.close()


def build_app(jobs: Jobs, keys: Keys, *, host: str = "127.0.0.1", page: bool = True) -> Guard:
    """Put page and API together.

    Args: page: whether there is one: the API does without Gradio.
    """
    os.environ.update(_QUIET)
    # What browsers send to Gradio is for nobody else on this machine, and goes with the server.
    temporary = jobs.store.folder / "gradio"
    shutil.rmtree(temporary, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    try:
        from impasto.studio.web.api import build_api

        app = build_api(jobs)
        if page:
            from impasto.studio.web.gradio_mount import mount_page

            mount_page(app, jobs)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the studio needs {error.name}: pip install 'impasto[studio]'"
        ) from error
    return Guard(
        app, keys, loopback=is_loopback(host), max_bytes=jobs.limits.max_bytes,
        max_clip_bytes=jobs.limits.max_clip_bytes,
    )  # fmt: skip


def _check_keys(host: str, keys: Keys) -> None:
    if not is_loopback(host) and keys == Keys():
        raise SettingsError(
            f"--host {host} lets other machines in: whoever reaches it could see and use this "
            "studio, so give --auth USER:PASSWORD or --token TOKEN (and put TLS before it)"
        )
    if keys.login is not None and not all(keys.login.partition(":")):
        raise SettingsError("--auth: wanted is USER:PASSWORD, both not empty")
    if keys.token is not None and len(keys.token) < 16:
        raise SettingsError("--token: at least 16 characters, so that it cannot be guessed")


def _listening(host: str, port: int) -> socket.socket:
    """Take the port at once, so that what is wrong with it is said at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} of {host} is taken; choose another with --port, or 0 for any free one"
            ) from error
        reason = error.strerror or error
        raise SettingsError(
            f"--host {host} --port {port}: cannot listen there: {reason}"
        ) from error
    except (UnicodeError, OverflowError) as error:
        raise SettingsError(f"--host {host} --port {port}: no such address") from error


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


def _lock(store: Store) -> Any:
    """Keep a second server out of the same folder, as long as this process lives."""
    import sqlite3

    lock = sqlite3.connect(store.folder / "lock.db", timeout=0.2, isolation_level=None,
                           check_same_thread=False)  # fmt: skip
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise StudioError(
            f"{store.folder}: another studio keeps its data there; end it, or choose another "
            "folder with --data"
        ) from error
    return lock


def _run(
    app: Any,
    listener: socket.socket,
    address: str,
    keys: Keys,
    say: Callable[[str], None],
    *,
    open_page: bool,
) -> None:
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
    )
    server = uvicorn.Server(config)

    def announce() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(0.02)
        say(f"impasto studio: {address}")
        say("Ctrl-C ends it; what is painted goes on next time.")
        if open_page:
            query = f"?token={keys.token}" if keys.token else ""
            webbrowser.open(address + query)
        time.sleep(_PAGE_FIRST)
        import impasto.pictures.files  # noqa: F401  (so that the first upload need not wait for torch)

    threading.Thread(target=announce, daemon=True).start()
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        server.run(sockets=[listener])
    say("Ended.")
