"""The server: serves page and API behind the guard, and runs the worker."""

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

from impasto.errors import SettingsError, install_hint
from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.store import Store
from impasto.studio.supervisor import Supervisor
from impasto.studio.web.guard import Guard, Keys, is_loopback

__all__ = ["build_app", "serve"]

# Keeps Gradio from sending requests to other machines: analytics, version checks, sharing.
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

# Seconds to wait before loading modules ahead of time: a browser may be loading the page.
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
        SettingsError: other machines can reach the host, and there is no password or token; the
            port is taken; an extra is not installed.
        StudioError: the data folder cannot be used.
    """
    _check_keys(host, keys)
    with _listening(host, port) as listener:
        store = Store(folder)
        lock = _lock(store)
        jobs = Jobs(store, limits)
        supervisor = Supervisor(jobs)
        supervisor.start()  # first, so that the worker loads torch while we load Gradio
        try:
            _run(build_app(jobs, keys, host=host), listener, _address(host, listener), keys, say,
                 open_page=open_page)  # fmt: skip
        finally:
            supervisor.stop()
            lock.close()


def build_app(jobs: Jobs, keys: Keys, *, host: str = "127.0.0.1", page: bool = True) -> Guard:
    """Build the app of page and API.

    Args: page: whether to include the page, which needs Gradio.
    """
    os.environ.update(_QUIET)
    # Gradio keeps files from browsers here: only this user can read them, and the next start
    # deletes them.
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
        raise SettingsError(f"the studio needs {error.name}: {install_hint('studio')}") from error
    return Guard(
        app, keys, loopback=is_loopback(host), max_bytes=jobs.limits.max_bytes,
        max_clip_bytes=jobs.limits.max_clip_bytes,
    )  # fmt: skip


def _check_keys(host: str, keys: Keys) -> None:
    if not is_loopback(host) and keys == Keys():
        raise SettingsError(
            f"--host {host} lets other machines use this studio; give --auth USER:PASSWORD or "
            "--token TOKEN to protect it (and use a TLS proxy)"
        )
    if keys.login is not None and not all(keys.login.partition(":")):
        raise SettingsError("--auth must be USER:PASSWORD, and neither part may be empty")
    if keys.token is not None and len(keys.token) < 16:
        raise SettingsError("--token must have at least 16 characters, so that nobody can guess it")


def _listening(host: str, port: int) -> socket.socket:
    """Listen on the port. This is called first, so that an error is reported immediately."""
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
            f"--host {host} --port {port}: cannot listen at this address: {reason}"
        ) from error
    except (UnicodeError, OverflowError) as error:
        raise SettingsError(f"--host {host} --port {port}: there is no such address") from error


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


def _lock(store: Store) -> Any:
    """Lock the folder against a second server while this process runs."""
    import sqlite3

    lock = sqlite3.connect(store.folder / "lock.db", timeout=0.2, isolation_level=None,
                           check_same_thread=False)  # fmt: skip
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise StudioError(
            f"{store.folder}: another studio uses this folder; stop that studio, or choose another "
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
        say("Press Ctrl-C to stop it. The next start resumes unfinished jobs.")
        if open_page:
            query = f"?token={keys.token}" if keys.token else ""
            webbrowser.open(address + query)
        time.sleep(_PAGE_FIRST)
        import impasto.pictures.files  # noqa: F401  (so that the first upload does not wait for torch)

    threading.Thread(target=announce, daemon=True).start()
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after the shutdown
        server.run(sockets=[listener])
    say("Stopped.")
