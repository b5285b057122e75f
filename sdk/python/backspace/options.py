"""How to connect, and where: the grammar of an address, and whether it may be spoken to in the clear.

An address without a scheme is `http` on loopback and `https` elsewhere. `http` to another machine would put
the token and the code on the network for all to read, so it has to be asked for.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import urllib.parse
from typing import Literal

import grpc

from backspace.errors import AddressError
from backspace.reconnect import Reconnect

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A page of Tasks can be large: 200 of them, each with cut texts of up to 64 KiB."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to connect. The defaults are right for a server on this machine."""

    token: str | None = dataclasses.field(default=None, repr=False)
    """Sent as a bearer token with every call."""
    ca_certificates_pem: bytes | None = None
    """PEM certificates to trust instead of the system's."""
    client_certificates_pem: bytes | None = None
    """PEM certificate chain to show to the server, leaf first; with `client_key_pem`."""
    client_key_pem: bytes | None = dataclasses.field(default=None, repr=False)
    server_name: str | None = None
    """The name the server's certificate must have, when it is not the address's."""
    plaintext: Literal["loopback-only", "anywhere"] = "loopback-only"
    """Whether `http://` may be used to another machine."""
    call_timeout_seconds: float = 30.0
    """Longest time for a call that answers once."""
    reconnect: Reconnect = dataclasses.field(default_factory=Reconnect)
    """When and for how long lost streams are opened again."""
    user_agent: str = ""
    """Put before this SDK's own name in the user agent."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what is sent with every call."""
        if self.token is None:
            return ()
        # Files end with a line break.
        token = self.token.strip()
        if not token:
            raise AddressError("the token is empty")
        if not all("!" <= character <= "~" for character in token):
            raise AddressError("the token holds a character that a header cannot carry; only printable ASCII is allowed")
        return (("authorization", f"Bearer {token}"),)

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca_certificates_pem, self.client_key_pem, self.client_certificates_pem
        )

    def channel_arguments(self) -> list[tuple[str, str | int]]:
        from backspace import __version__

        own_name = f"backspace-sdk-python/{__version__}"
        arguments: list[tuple[str, str | int]] = [
            ("grpc.primary_user_agent", f"{self.user_agent} {own_name}".strip()),
            ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
            # A peer that is gone without a word is noticed in 40 s; the server does the same from its side.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # The stream's own delays decide; a channel that waits longer would only hide them.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        if self.server_name:
            arguments.append(("grpc.ssl_target_name_override", self.server_name))
        return arguments


def parse_address(address: str, plaintext: str) -> tuple[str, bool]:
    """Reads `https://host[:port]`, `http://host[:port]` or `host:port`; returns the target and whether TLS is used."""

    def refuse(reason: str) -> AddressError:
        return AddressError(f"the server address {address!r} {reason}")

    trimmed = address.strip()
    bare = "://" not in trimmed
    try:
        url = urllib.parse.urlsplit(f"//{trimmed}" if bare else trimmed)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        raise refuse(f"cannot be read: {error}") from None
    if "@" in url.netloc:
        raise refuse("holds a user or password; give a token instead")
    if not host or any(character.isspace() for character in trimmed):
        raise refuse("names no host; write it as https://host:port, or http://127.0.0.1:8000 on this machine")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise refuse("has a path or query; a server is named by scheme, host and port alone")
    loopback = _is_loopback(host)
    scheme = url.scheme or ("http" if loopback else "https")
    if scheme not in ("http", "https"):
        raise refuse("has an unknown scheme; use https, or http on this machine")
    if scheme == "http" and not loopback and plaintext != "anywhere":
        raise refuse(
            "is http to another machine, which would show token and code to the network; use https, or allow "
            "plaintext if a tunnel protects it"
        )
    secure = scheme == "https"
    quoted = f"[{host}]" if ":" in host else host
    return f"{quoted}:{port or (443 if secure else 80)}", secure


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
