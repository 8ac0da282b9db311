"""A proxy in front of PostgreSQL's socket: encrypted, silent, or cut off at a chosen moment."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
from contextlib import contextmanager, suppress
from typing import Iterator

ASKS_FOR_TLS = struct.pack("!ii", 8, 80877103)


class PostgresProxy(socketserver.ThreadingTCPServer):
    """tls: to encrypt connections, None for what the server offers; silent: it takes connections and bytes, and never
    answers; cut_after: bytes of a client, after which the server gets them and the client loses its connection, once.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, path: str, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """path: of the server's socket."""
        super().__init__(("127.0.0.1", port), _Conversation)
        self.path, self.tls = path, tls
        self.silent, self.cut_after = False, b""
        self.port: int = self.server_address[1]


class _Conversation(socketserver.BaseRequestHandler):
    server: PostgresProxy

    def handle(self) -> None:
        client: socket.socket = self.request
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.path)
            if self.server.tls:
                assert client.recv(8) == ASKS_FOR_TLS
                client.sendall(b"S")
                try:
                    client = self.server.tls.wrap_socket(client, server_side=True)
                except (ssl.SSLError, OSError):  # the client does not trust the certificate
                    return
            threading.Thread(target=self._answer, args=(upstream, client), daemon=True).start()
            with suppress(OSError):
                self._ask(client, upstream)

    def _ask(self, client: socket.socket, upstream: socket.socket) -> None:
        while True:
            data = client.recv(65536)
            if not data:
                return
            upstream.sendall(data)
            if self.server.cut_after and self.server.cut_after in data:
                self.server.cut_after = b""
                client.shutdown(socket.SHUT_RDWR)
                # The server goes on until it has done what it was asked.
                while upstream.recv(65536):
                    pass

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                data = upstream.recv(65536)
                if not data:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if not self.server.silent:
                    client.sendall(data)


@contextmanager
def proxied(uri: str, tls: ssl.SSLContext | None = None) -> Iterator[tuple[PostgresProxy, str]]:
    """Run a proxy. uri: of a database, through a socket. -> the proxy, and the address of the database through it."""
    address, folder = uri.split("?host=")
    with PostgresProxy(f"{folder}/.s.PGSQL.5432", tls=tls) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy, f"{address.replace('@/', f'@127.0.0.1:{proxy.port}/')}"
        proxy.shutdown()
