"""The address of a cluster's dashboard: what answers there, and with which token."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ntm_ray.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
DASHBOARD_PORT = 8265
_GRPC_PORTS = {6379: "the cluster's own (GCS)", 10001: "Ray Client's"}
_SECONDS = 10.0
_TOKEN_HINT = (
    "set RAY_AUTH_TOKEN_PATH to the file that holds it, RAY_AUTH_TOKEN to the token itself, "
    "or copy it to ~/.ray/auth_token"
)


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that has answered.

    Attributes:
        url: `http://host:port`, without a slash at its end.
        ray_version: The cluster's.
        token: What it wants to be shown; None if it asks for nothing.
    """

    url: str
    ray_version: str
    token: Token | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers that show the token."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token.text}"}


@dataclass(frozen=True)
class Token:
    """A token for Ray's authentication.

    Attributes:
        text: The token.
        source: Where it comes from, for people.
        file: The file that holds it, if a file does.
    """

    text: str
    source: str
    file: Path | None = None

    def __repr__(self) -> str:
        return f"Token(from {self.source})"

    @property
    def warning(self) -> str | None:
        """That others on this machine can read its file, and what mends it."""
        if self.file is None or not self.file.stat().st_mode & 0o077:
            return None
        return (
            f"{self.file}: others on this machine can read the cluster's token; "
            f"chmod 600 {shlex.quote(str(self.file))}"
        )


def dashboard_url(address: str | None) -> str:
    """The URL that an `--address` means; without one, what Ray's environment variables say.

    Raises:
        ClusterError: If there is none, or it is not one of a dashboard; says what it is.
    """
    where = "--address"
    if address is None:
        for where in ADDRESS_VARIABLES:
            if address := os.environ.get(where):
                break
    wanted = f"the dashboard's is wanted, http://HEAD:{DASHBOARD_PORT}"
    if not address:
        raise ClusterError(
            f"--address: which cluster? {wanted}; or set RAY_API_SERVER_ADDRESS to it"
        )
    if address.startswith("ray://"):
        raise ClusterError(f"{where} {address}: is the address of Ray Client; {wanted}")
    if address in {"auto", "local"}:
        raise ClusterError(
            f"{where} {address}: is for `ntm-ray tune`, on a machine of the cluster; {wanted}"
        )
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ClusterError(f"{where} {address}: the port is no number; {wanted}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ClusterError(f"{where} {address}: is no address of a dashboard; {wanted}")
    if port is None and parts.scheme == "http":
        url = url.replace(parts.netloc, f"{parts.netloc}:{DASHBOARD_PORT}", 1)
    return url.rstrip("/")


def find_dashboard(address: str | None, warn: Callable[[str], None]) -> Dashboard:
    """Ask an address whether it is a Ray dashboard, and which token it wants.

    A token is sent only to a dashboard that asks for one. Ray's own client would send one only if
    `RAY_AUTH_MODE` said so, and remembers the first one of a process.

    Args:
        address: As `dashboard_url` takes it.
        warn: Told of a token that others can read.

    Raises:
        ClusterError: One line on what is there instead, or which token is missing.
    """
    url = dashboard_url(address)
    token = None
    status, body = _get(Dashboard(url, ""))
    if status in (401, 403):
        token = find_token()
        if token is None:
            raise ClusterError(f"{url}: the cluster wants a token; {_TOKEN_HINT}")
        if warning := token.warning:
            warn(warning)
        status, body = _get(Dashboard(url, "", token))
        if status in (401, 403):
            raise ClusterError(
                f"{url}: the cluster does not know this token ({token.source}); {_TOKEN_HINT}"
            )
    try:
        version = json.loads(body)["ray_version"]
    except (ValueError, KeyError, TypeError):
        raise ClusterError(
            f"{url}: something answers there (HTTP {status}), but it is no Ray dashboard; "
            f"the head's is http://HEAD:{DASHBOARD_PORT}, unless --dashboard-port gave it another"
        ) from None
    return Dashboard(url, str(version), token)


def find_token() -> Token | None:
    """The token that Ray would use here, in its order: the variable, its file, the home's file.

    Raises:
        ClusterError: If a file that is named cannot be read.
    """
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(text, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named is None:
            return None
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClusterError(f"RAY_AUTH_TOKEN_PATH={named}: cannot be read: {reason}") from None
    return Token(text, str(file), file) if text else None


def _get(dashboard: Dashboard) -> tuple[int, bytes]:
    """Status and body of `/api/version`."""
    url = dashboard.url
    request = urllib.request.Request(f"{url}/api/version", headers=dashboard.headers)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except urllib.error.URLError as error:
        raise ClusterError(_why_unreachable(url, error.reason)) from None
    except TimeoutError as error:
        raise ClusterError(_why_unreachable(url, error)) from None
    except (http.client.HTTPException, OSError):
        raise ClusterError(_no_http(url)) from None


def _why_unreachable(url: str, reason: object) -> str:
    host = urlsplit(url).hostname or ""
    if isinstance(reason, ConnectionRefusedError):
        return (
            f"{url}: nothing listens there; is the head running? Its dashboard listens on the "
            f"head's loopback alone unless told otherwise: ssh -N -L "
            f"{DASHBOARD_PORT}:127.0.0.1:{DASHBOARD_PORT} HEAD, and --address "
            f"http://127.0.0.1:{DASHBOARD_PORT}"
        )
    if isinstance(reason, socket.gaierror):
        return f"{url}: no machine is called {host}"
    if isinstance(reason, TimeoutError):
        return f"{url}: no answer within {_SECONDS:.0f} s; a firewall may be in between"
    if isinstance(reason, ssl.SSLError):
        return (
            f"{url}: no secure connection: {reason.reason or reason}; http:// rather than "
            "https://, or a certificate that this machine trusts"
        )
    if isinstance(reason, OSError) and not isinstance(reason, ConnectionError):
        return f"{url}: cannot be reached: {reason.strerror or reason}"
    return _no_http(url)


def _no_http(url: str) -> str:
    port = urlsplit(url).port
    known = _GRPC_PORTS.get(port or 0)
    what = f"port {port} is {known}" if known else "it may be the cluster's own port (GCS)"
    right = re.sub(r":\d+$", f":{DASHBOARD_PORT}", url)
    return f"{url}: what listens there does not speak HTTP; {what}, the dashboard's is {right}"
