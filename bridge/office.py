"""One installation without its live part: data folder, key, store, desk, and the address it was last served at.

The server stands on it, and so does the command line, which makes sessions whether or not the server runs.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.auth import Auth, load_or_create_key
from bridge.config import ConfigError, Settings
from bridge.desk import Desk
from bridge.store import Store, sqlite_url

DATABASE_FILE = "bridge.db"
KEY_FILE = "secret.key"
ADDRESS_FILE = "address"
SERVER_LOCK_FILE = "serve.lock"
"""Held by the server that runs on the data folder."""


@dataclass(frozen=True, slots=True)
class Office:
    """What is open while an installation is worked on."""

    settings: Settings
    store: Store
    auth: Auth
    desk: Desk


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """Opens the data folder, which is made if there is none. Raises ConfigError."""
    folder = data_folder(settings)
    key = load_or_create_key(folder / KEY_FILE)
    store = await Store.open(settings.database_url or sqlite_url(folder / DATABASE_FILE))
    try:
        auth = Auth(key, store)
        yield Office(settings, store, auth, Desk(settings, store, auth))
    finally:
        await store.close()


def data_folder(settings: Settings) -> Path:
    """The data folder, readable by its owner only if it is made here. Raises ConfigError."""
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The data folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"The data folder {folder} cannot be written to.")
    return folder


def remember_address(settings: Settings, url: str) -> None:
    """Notes where this installation is served, for links that the command line makes."""
    path = settings.data_dir / ADDRESS_FILE
    draft = path.with_name(f".{ADDRESS_FILE}.{secrets.token_hex(8)}")
    draft.write_text(url + "\n")
    draft.replace(path)


def base_url(settings: Settings) -> str:
    """The address that links begin with: as set, as last served, or as the settings would serve it."""
    if settings.public_url:
        return settings.public_url
    try:
        return (settings.data_dir / ADDRESS_FILE).read_text().strip()
    except OSError:
        return served_url(settings, settings.port)


def served_url(settings: Settings, port: int, host: str | None = None) -> str:
    """The address of a server on this machine that listens as the settings say."""
    scheme = "http" if settings.tls == "off" else "https"
    shown = host or (settings.host if settings.host not in ("", "0.0.0.0", "::") else "localhost")  # noqa: S104
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"
