"""Upload of photos from disk to the service."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import requests
from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor
from tqdm import tqdm


def post_photo(
    session: requests.Session, url: str, path: Path, fields: Mapping[str, str], timeout: float = 60
) -> requests.Response:
    """POST a photo, as the file field `file`, and form fields as multipart/form-data.

    Reads the photo in small blocks while sending it, so that even a large one needs little memory. Shows a progress bar
    on stderr if that is a terminal. timeout: seconds to connect, and between bytes of the response. Raises OSError if
    the photo cannot be read, and requests.RequestException.
    """
    with path.open("rb") as photo:
        encoder = MultipartEncoder({**fields, "file": (path.name, photo)})
        # disable=None: no bar if stderr is not a terminal.
        with tqdm(total=encoder.len, desc=path.name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            monitor = MultipartEncoderMonitor(encoder, lambda sent: bar.update(sent.bytes_read - bar.n))
            headers = {"Content-Type": monitor.content_type}
            return session.post(url, data=monitor, headers=headers, timeout=timeout)
