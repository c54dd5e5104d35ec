"""Who may open what is stored: the server's own identity, offline recipients, and data keys wrapped to all of them.

Wrapping is age (age-encryption.org/v1, X25519 recipients) by pyrage. Files of identities and recipients have the form
that the `age` tool reads. It knows folders only of keys, not of objects.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridge import durable
from bridge.config import ConfigError
from bridge.vault.errors import Trouble, VaultError
from bridge.vault.parts import DATA_KEY_BYTES, SALT, ObjectRef

IDENTITY_FILE = "identity.txt"
RECIPIENTS_FILE = "recipients.txt"
LOCK_FILE = "lock"
FORMAT = "bridge-vault-1"
WRAPPED_LIMIT_BYTES = 64 * 1024
_FILE_LIMIT_BYTES = 64 * 1024
RECIPIENTS_LIMIT = 64
"""Beyond what a hospital keeps, and well within the limit of a wrapped key."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a wrapped key says once it is open."""

    data_key: bytes
    is_current: bool
    """Whether it is wrapped to exactly today's recipients, and sealed by today's identity."""


class Keyring:
    """The keys of one installation. Files are read at each use, so that a change counts at once in every process."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder and the server's identity at the first start. Raises ConfigError."""
        self._folder = folder
        self._identity_path = folder / IDENTITY_FILE
        self._recipients_path = folder / RECIPIENTS_FILE
        try:
            durable.make_folder(folder)
        except OSError as error:
            raise ConfigError(f"The folder {folder} cannot be made: {error.strerror}.") from error

    @property
    def has_identity(self) -> bool:
        return self._identity_path.exists()

    def make_identity(self) -> None:
        """The server's identity, unless there is one. Raises ConfigError."""
        try:
            durable.create_private(self._identity_path, _identity_lines([pyrage.x25519.Identity.generate()]))
        except OSError as error:
            raise ConfigError(
                f"The identity {self._identity_path} cannot be made: {error.strerror}."
            ) from error

    def check(self) -> None:
        """Raises ConfigError for a file of identities or recipients that cannot be used."""
        self._identities()
        self.recipients()

    # --- data keys -----------------------------------------------------------------------------------------------

    def wrap(self, ref: ObjectRef, data_key: bytes) -> bytes:
        """The data key for everybody who may open it, as an age file. Raises ConfigError."""
        current = self._identities()[0]
        recipients = self._all_recipients(current)
        content = {
            "format": FORMAT,
            "kind": ref.kind.value,
            "object": ref.id,
            "dataKey": data_key.hex(),
            "recipients": recipients,
            "seal": _seal(current, ref, data_key),
        }
        to = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
        return bytes(pyrage.encrypt(json.dumps(content).encode("ascii"), to))

    def unwrap(self, ref: ObjectRef, wrapped: bytes, foreign: Sequence[Any] = ()) -> Wrapped:
        """The data key of this very object. Raises VaultError, ConfigError.

        `foreign` are more identities to open it with; a key that they alone vouch for is believed too.
        """
        own = self._identities()
        identities = [*own, *foreign]
        try:
            content = json.loads(pyrage.decrypt(wrapped, identities))
            named = (content["format"], content["kind"], content["object"])
            data_key = bytes.fromhex(content["dataKey"])
            seal, recipients = str(content["seal"]), content["recipients"]
        except pyrage.DecryptError:
            raise VaultError(
                Trouble.KEY_UNREADABLE, f"The key of {ref} is damaged, or not wrapped for this server."
            ) from None
        except (ValueError, KeyError, TypeError):
            raise VaultError(Trouble.KEY_UNREADABLE, f"The key of {ref} is not understood.") from None
        if named != (FORMAT, ref.kind.value, ref.id) or len(data_key) != DATA_KEY_BYTES:
            raise VaultError(Trouble.KEY_FOREIGN, f"The key of {ref} is another object's.")
        # Anybody can wrap a key of his own to a public recipient; only an identity can seal it.
        fits = [hmac.compare_digest(seal, _seal(identity, ref, data_key)) for identity in identities]
        if not any(fits) and not foreign:
            raise VaultError(Trouble.KEY_FOREIGN, f"The key of {ref} was not made by this server.")
        return Wrapped(data_key, fits[0] and recipients == self._all_recipients(own[0]))

    # --- recipients ----------------------------------------------------------------------------------------------

    def server_recipient(self) -> str:
        """The server's own recipient. Raises ConfigError."""
        return str(self._identities()[0].to_public())

    def recipients(self) -> list[str]:
        """The offline recipients, in the file's order. Raises ConfigError."""
        try:
            text = durable.read_limited(self._recipients_path, _FILE_LIMIT_BYTES).decode("utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The recipients {self._recipients_path} cannot be read: {error}.") from error
        found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(found) > RECIPIENTS_LIMIT:
            raise ConfigError(f"There are at most {RECIPIENTS_LIMIT} offline recipients.")
        return list(dict.fromkeys(map(check_recipient, found)))

    def set_recipients(self, recipients: Sequence[str]) -> None:
        """Replaces the offline recipients; objects that are there need a rotation. Raises ConfigError, OSError."""
        checked = list(dict.fromkeys(map(check_recipient, recipients)))
        if len(checked) > RECIPIENTS_LIMIT:
            raise ConfigError(f"There are at most {RECIPIENTS_LIMIT} offline recipients.")
        lines = "# Who may open what is stored, besides the server: one age recipient a line.\n"
        text = lines + "".join(f"{recipient}\n" for recipient in checked)
        durable.replace_private(self._recipients_path, text.encode("ascii"))

    # --- identities ----------------------------------------------------------------------------------------------

    @property
    def identities(self) -> int:
        """How many there are: more than one while a rotation to a new one is not finished. Raises ConfigError."""
        return len(self._identities())

    def begin_new_identity(self) -> None:
        """Puts a new identity before the old ones, which still open what they did. Raises ConfigError, OSError."""
        fresh = pyrage.x25519.Identity.generate()
        durable.replace_private(self._identity_path, _identity_lines([fresh, *self._identities()]))

    def forget_old_identities(self) -> None:
        """Raises ConfigError, OSError."""
        durable.replace_private(self._identity_path, _identity_lines(self._identities()[:1]))

    @contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        """Keeps other processes' rotations off (shared), or everybody (exclusive). Raises OSError."""
        file = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, durable.PRIVATE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(file)

    def _identities(self) -> list[Any]:
        try:
            return read_identities(self._identity_path)
        except FileNotFoundError:
            raise ConfigError(
                f"The identity {self._identity_path} is missing; restore it from a backup."
            ) from None

    def _all_recipients(self, current: Any) -> list[str]:
        return list(dict.fromkeys([str(current.to_public()), *self.recipients()]))


def read_identities(path: Path) -> list[Any]:
    """The age identities in a file that only its owner may read. Raises FileNotFoundError, ConfigError."""
    text = durable.read_private(path, "The identity", _FILE_LIMIT_BYTES).decode("ascii", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        raise ConfigError(f"The identity {path} holds a line that is no age identity.") from None
    if not found:
        raise ConfigError(f"The identity {path} is empty; restore it from a backup.")
    return found


def check_recipient(text: str) -> str:
    """The recipient in its one spelling. Raises ConfigError."""
    try:
        return str(pyrage.x25519.Recipient.from_str(text.strip()))
    except pyrage.RecipientError:
        raise ConfigError(f"{text.strip()[:80]!r} is no age recipient (age1…).") from None


def new_data_key() -> bytes:
    """A fresh 256-bit key."""
    return secrets.token_bytes(DATA_KEY_BYTES)


def _seal(identity: Any, ref: ObjectRef, data_key: bytes) -> str:
    key = HKDF(SHA256(), 32, SALT, b"seal").derive(str(identity).encode("ascii"))
    return hmac.new(key, str(ref).encode("ascii") + data_key, hashlib.sha256).hexdigest()


def _identity_lines(identities: Sequence[Any]) -> bytes:
    lines = [f"# public key: {identity.to_public()}\n{identity}\n" for identity in identities]
    return "".join(lines).encode("ascii")
