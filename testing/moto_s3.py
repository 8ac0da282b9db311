"""moto's server, one request at a time: `python testing/moto_s3.py PORT`.

moto checks the condition of a conditional write and writes in two steps, so its threads would lose writes that S3 does
not lose. It runs under the current Python of .venv-notebook: moto for Python 3.8 ignores If-Match.
"""

from __future__ import annotations

import sys
from functools import partial

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

serve = partial(run_simple, "127.0.0.1", int(sys.argv[1]), request_handler=MotoRequestHandler)
serve(DomainDispatcherApplication(create_backend_app))
