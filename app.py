"""The app: builds the Lambda functions from settings, service and wire format. Only this module knows all of them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from aws_lambda_powertools import Logger

from api.batches import Batches
from api.bucket_photos import OpenBucket, PhotoIdentifier
from api.bulk import BulkRecognition
from api.cors import Cors
from api.dialect import Dialect, OtherDialect, is_compreface, is_rekognition
from api.dialects import native
from api.errors import BadRequest
from api.keys import Keys
from api.lambda_events import EventAdapter, RestApiAdapter, adapter_for
from api.responder import Responder
from api.router import Router
from api.routes import native_routes
from api.telemetry import Telemetry
from model.detection.detector import Detector
from model.processor import use_threads
from service.errors import ModelUnavailable
from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService
from service.services import Services
from settings import Settings, limit_convolution_cache, s3_settings_from_env
from storage.addresses import is_database
from storage.blobs import BlobStore, open_blobs
from storage.engine import Engine
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from storage.networks import BUNDLED
from storage.s3_settings import BULK_POLICY, SERVING_POLICY

MAX_OBJECT_BYTES = 15 << 20  # of a photo in a bucket that a client of Rekognition names


@dataclass(frozen=True)
class App:
    """The Lambda functions: `handle` for requests, `on_upload` for photos that are uploaded to a bucket, `on_batch` for
    batches of photos or people that are in a bucket already.
    """

    services: Services
    router: Router
    responder: Responder
    bulk: BulkRecognition
    batches: Batches
    telemetry: Telemetry

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Respond to an event of any event source in its own format. Errors become responses too."""
        started, request_id = perf_counter(), context.aws_request_id
        adapter: EventAdapter = RestApiAdapter()  # for events of an unknown source
        try:
            adapter = adapter_for(event)
            request = adapter.parse(event, request_id)
        except BadRequest as error:
            reply = self.responder.refuse(error, request_id)
        else:
            reply = self.responder.answer(request)
        rendered = adapter.render(reply.response)
        ms = (perf_counter() - started) * 1000
        self.telemetry.request(request_id, reply.response.status, reply.outcome, ms)
        return rendered

    def on_upload(self, event: Any, context: Any) -> dict[str, int]:
        """Process the photos of an S3 notification. -> number of photos by outcome, see api/bulk.py."""
        return self.bulk.process_event(event, context.aws_request_id)

    def on_batch(self, event: Any, context: Any) -> dict[str, int]:
        """Process a batch of a state machine. -> number of items by outcome, see api/batches.py."""
        return self.batches.process_event(event, context.aws_request_id, context.get_remaining_time_in_millis)


def create_app(settings: Settings, live: LiveModel | None = None) -> App:
    """Prepare the process and load the model. live: None for the model that the settings name.

    If the model cannot be loaded, the app is created anyway: requests get 503 until loading succeeds.
    """
    started = perf_counter()
    limit_convolution_cache()
    if settings.memory_mb and not settings.threads_set:
        use_threads(settings.memory_mb)
    galleries = Galleries(live or _live_model(settings), _collections(settings), settings.collection)
    wait_for_people = galleries.prefetch()
    detector = Detector()
    faces = FaceService(galleries, detector, settings.strictness)
    app = compose(settings, Services(faces, PeopleService(galleries, detector, settings.keep_crops), galleries))
    try:
        app.telemetry.log.info("model loaded", model_version=app.services.faces.model().version)
    except ModelUnavailable as error:
        app.telemetry.log.error("no model at start", reason=str(error))
    wait_for_people(settings.start_seconds - (perf_counter() - started))
    return app


def open_bucket(name: str) -> BlobStore:
    """Open the bucket that photos are uploaded to."""
    return open_blobs(f"s3://{name}", s3_settings_from_env(), BULK_POLICY)


def read_photo(bucket: str, key: str, version: str | None) -> bytes:
    """Read a photo for a client of Rekognition. version: None for the current one. Raises StorageError."""
    from storage.s3 import S3Blobs

    with closing(S3Blobs(f"s3://{bucket}", s3_settings_from_env(), SERVING_POLICY)) as blobs:
        return blobs.get(key, MAX_OBJECT_BYTES, version=version).data


def compose(
    settings: Settings, services: Services, open_bucket: OpenBucket = open_bucket, log: Logger | None = None
) -> App:
    """Build an app around the services. log: None for the default logger."""
    telemetry = Telemetry(services.galleries.version, settings.metrics, log)
    keys = Keys(settings.api_key, settings.admin_key)
    router = Router(native_routes(services), keys.check_request)

    def compreface() -> Dialect:
        from api.dialects import compreface
        from service.enrolled_faces import EnrolledFaces
        from service.named_people import NamedPeople

        named = NamedPeople(services.people, services.galleries)
        enrolled = EnrolledFaces(services.galleries, services.faces)
        return compreface.dialect(services, named, enrolled, keys, settings.compreface_keys)

    def rekognition() -> Dialect:
        from api.dialects import rekognition
        from api.dialects.rekognition_operations import operations
        from service.enrolled_faces import EnrolledFaces
        from service.indexing import IndexService
        from service.users import UserService

        enrolled = EnrolledFaces(services.galleries, services.faces)
        index = IndexService(services.galleries, services.faces, settings.keep_crops)
        users = UserService(services.galleries, services.faces)
        offered = operations(services, enrolled, index, users)
        return rekognition.dialect(offered, keys, settings.rekognition_buckets, read_photo)

    return App(
        services=services,
        router=router,
        responder=Responder(
            Dialect(router.answer, native.encode_problem),
            router.methods,
            telemetry.bug,
            Cors(settings.cors_origins),
            (OtherDialect(is_compreface, compreface), OtherDialect(is_rekognition, rekognition)),
        ),
        bulk=BulkRecognition(services.faces, telemetry, open_bucket),
        batches=Batches(PhotoIdentifier(services.faces, telemetry), services.people, open_bucket),
        telemetry=telemetry,
    )


def _live_model(settings: Settings) -> LiveModel:
    uri = settings.model_uri or BUNDLED
    # The environment is read again each time: Lambda renews the credentials in it.
    return LiveModel(lambda: open_blobs(uri, s3_settings_from_env(), SERVING_POLICY), refresh=uri != BUNDLED)


def _collections(settings: Settings) -> Engine | None:
    uri = settings.gallery_uri
    if is_database(uri):
        from storage.postgres.collections import PostgresCollections
        from storage.postgres.database import Database

        return PostgresCollections(Database(uri))
    return LiveCollections(lambda: open_blobs(uri, s3_settings_from_env(), SERVING_POLICY)) if uri else None
