"""A proxy in front of PostgreSQL's socket: encrypted, silent, or cut off at a chosen moment."""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import ssl
import struct
import threading
import warnings
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

ASKS_FOR_TLS = struct.pack("!ii", 8, 80877103)


class PostgresProxy(socketserver.ThreadingTCPServer):
    """tls: to encrypt connections, None for what the server offers; silent: it takes connections and bytes, and never
    answers; silent_after: bytes of a client, after which it is silent; cut_after: bytes of a client, after which the
    server gets them and the client loses its connection, once.

    encrypted: TLS version of each encrypted connection so far; passwords: that clients have sent.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, path: str, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """path: of the server's socket."""
        super().__init__(("127.0.0.1", port), _Conversation)
        self.path, self.tls = path, tls
        self.silent, self.silent_after, self.cut_after = False, b"", b""
        self.encrypted: list[str | None] = []
        self.passwords: list[str] = []
        self.clients: set[socket.socket] = set()
        self.port: int = self.server_address[1]

    def hang_up(self) -> None:
        """End all connections."""
        for client in list(self.clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


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
                    client = wrapped = self.server.tls.wrap_socket(client, server_side=True)
                except (ssl.SSLError, OSError):  # the client does not trust the certificate
                    return
                self.server.encrypted.append(wrapped.version())
            with client:
                self.server.clients.add(client)
                threading.Thread(target=self._answer, args=(upstream, client), daemon=True).start()
                with suppress(OSError):
                    self._ask(client, upstream)
                self.server.clients.discard(client)

    def _ask(self, client: socket.socket, upstream: socket.socket) -> None:
        while True:
            data = client.recv(65536)
            if not data:
                return
            if data.startswith(b"p"):
                self.server.passwords.append(data[5:-1].decode())
            if self.server.silent_after and self.server.silent_after in data:
                self.server.silent = True
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
def proxied(uri: str, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[tuple[PostgresProxy, str]]:
    """Run a proxy. uri: of a database, through a socket. -> the proxy, and the address of the database through it.

    At the end, all connections through it are lost, and no more are taken.
    """
    address, folder = uri.split("?host=")
    with PostgresProxy(f"{folder}/.s.PGSQL.5432", port, tls) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield proxy, f"{address.replace('@/', f'@127.0.0.1:{proxy.port}/')}"
        finally:
            proxy.shutdown()
    proxy.hang_up()


def certified(path: Path, host: str) -> ssl.SSLContext:
    """Make a certificate for an IP address. -> the settings of a server that has it.

    path: for the certificate, which is its own CA.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that Python 3.8 is old
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "PostgreSQL")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(certificate)
    private = path.with_suffix(".key")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return context
