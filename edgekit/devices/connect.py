"""An SSH connection whose host is known, and what went wrong where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, missing_package

if TYPE_CHECKING:
    import asyncssh

    from edgekit.target import Ssh

_LOGIN_S = 20.0
#: A device that does not answer for a minute is gone.
_KEEPALIVE_S, _KEEPALIVES = 15.0, 4


@asynccontextmanager
async def connected(
    connection: Ssh, where: str
) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]]:
    """The connection and its SFTP session.

    Only a host whose key is in the known hosts, and only keys or the agent: no passwords, and nothing of
    ``~/.ssh/config``, so that the target file says it all.

    Args:
        connection: of the target file.
        where: for errors.

    Raises:
        MissingError: asyncssh is not installed.
        DeviceError: the host is unknown, another one than before, cannot be reached, or refuses the key.
    """
    try:
        import asyncssh
    except ImportError:
        raise missing_package("asyncssh", "ssh") from None
    known = (connection.known_hosts or Path("~/.ssh/known_hosts")).expanduser()
    if not known.is_file():
        raise DeviceError(
            f"there is no file of known hosts {known}", where=where, remedy=_remedy(connection, known)
        )
    settings: dict[str, Any] = {}
    if connection.key is not None:
        key = connection.key.expanduser()
        if not key.is_file():
            raise DeviceError(f"there is no key file {key}", where=where, remedy="correct 'key' in the target file")
        settings["client_keys"] = [str(key)]
    try:
        link = await asyncssh.connect(
            connection.host,
            connection.port,
            username=connection.user,
            known_hosts=str(known),
            config=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_auth=False,
            gss_kex=False,
            login_timeout=_LOGIN_S,
            connect_timeout=_LOGIN_S,
            keepalive_interval=_KEEPALIVE_S,
            keepalive_count_max=_KEEPALIVES,
            **settings,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise _unverified(connection, known, where) from None
    except asyncssh.PermissionDenied as error:
        raise DeviceError(
            f"refuses the login of '{connection.user}': {error.reason}",
            where=where,
            remedy="name a key in the target file that its authorized_keys has, or load one into the SSH agent",
        ) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise DeviceError(
            f"the key cannot be used: {error}", where=where, remedy="load an encrypted key into the SSH agent"
        ) from None
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise DeviceError(
            f"cannot be reached at {connection.host}, port {connection.port}: {error or type(error).__name__}",
            where=where,
            remedy="is it on, in this network, and does its SSH server run?",
        ) from None
    async with link:
        with lost(where):
            async with link.start_sftp_client() as sftp:
                yield link, sftp


@contextmanager
def lost(where: str) -> Iterator[None]:
    """Turns what asyncssh raises during the block into a ``DeviceError``."""
    import asyncssh

    try:
        yield
    except (
        asyncssh.ConnectionLost,
        asyncssh.DisconnectError,
        asyncssh.SFTPConnectionLost,
        ConnectionError,
    ) as error:
        raise DeviceError(
            f"the connection was lost: {error}",
            where=where,
            remedy="what was measured is kept: run the same command to go on",
        ) from None
    except asyncssh.SFTPError as error:
        raise DeviceError(
            f"files cannot be written there: {error.reason}", where=where, remedy="is the disk full, or read-only?"
        ) from None
    except asyncssh.Error as error:
        raise DeviceError(f"the SSH server refused: {error}", where=where) from None


def _unverified(connection: Ssh, known: Path, where: str) -> DeviceError:
    import asyncssh

    port = connection.port if connection.port != 22 else None
    found = asyncssh.match_known_hosts(str(known), connection.host, "", port)
    if found[0]:
        return DeviceError(
            f"the host key of {connection.host} is not the one in {known}: another machine, or one set up anew",
            where=where,
            remedy="make sure that it is the device, then replace its line in that file",
        )
    return DeviceError(
        f"the host key of {connection.host} is unknown", where=where, remedy=_remedy(connection, known)
    )


def _remedy(connection: Ssh, known: Path) -> str:
    port = f"-p {connection.port} " if connection.port != 22 else ""
    return (
        f"compare the fingerprint with the device's own, then: ssh-keyscan {port}{connection.host} >> {known}; "
        f"on the device: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    )
