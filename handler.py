"""AWS Lambda entry points: `handle` for HTTP requests, `on_upload` for photos that are dropped in an S3 bucket, and
`on_batch` for batches of a bucket's photos or people, which state machines send.
"""

from __future__ import annotations

from startup import start

app = start()
handle = app.handle
on_upload = app.on_upload
on_batch = app.on_batch
