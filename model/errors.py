"""What can go wrong between a photo and its answer.

    RecognitionError          code
    ├── UnsupportedImage      unsupported_media_type   not a format that we read
    ├── UnreadableImage       unreadable_image         a known format, but broken
    ├── ImageTooLarge         too_large                more pixels than we decode
    ├── NoFace                no_face                  a photo of something else
    └── ModelUnavailable      model_unavailable        no model, or not the one that was published
        └── SourceUnreachable model_unavailable        nobody there to say which model that would be

The message of each is a sentence for the person who sent the photo; it never carries the photo's bytes.
"""

from __future__ import annotations


class RecognitionError(Exception):
    code: str


class UnsupportedImage(RecognitionError):
    code = "unsupported_media_type"


class UnreadableImage(RecognitionError):
    code = "unreadable_image"


class ImageTooLarge(RecognitionError):
    code = "too_large"


class NoFace(RecognitionError):
    code = "no_face"


class ModelUnavailable(RecognitionError):
    code = "model_unavailable"
    retry_after = 5  # seconds after which another try is made, and worth it


class SourceUnreachable(ModelUnavailable):
    pass
