from __future__ import annotations

import threading
from typing import Iterator

import pytest

from tests.training.download_server import Handler, Server, Site


@pytest.fixture()
def sites(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Site]]:
    """The official URL and its mirror."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        server.sites = {path: Site(url + path) for path in ("/official.tgz", "/mirror.tgz")}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.sites["/official.tgz"], server.sites["/mirror.tgz"]
        finally:
            for site in server.sites.values():
                site.stopped.set()
            server.shutdown()
            thread.join()
