"""Errors of the model layer.

    RecognitionError
    ├── UnsupportedImage      not a format that is read
    ├── UnreadableImage       a known format, but damaged
    ├── ImageTooLarge         more pixels than are decoded
    └── FormatError           a file of the project's own that cannot be used
        ├── NetworkFormatError    a model file of another format, or of something else
        └── EmbeddingMismatch     a gallery that holds embeddings of another network

The message is a sentence for the person who sent the photo, or who published the file. It never holds image bytes.
"""

from __future__ import annotations


class RecognitionError(Exception):
    pass


class UnsupportedImage(RecognitionError):
    pass


class UnreadableImage(RecognitionError):
    pass


class ImageTooLarge(RecognitionError):
    pass


class FormatError(RecognitionError):
    pass


class NetworkFormatError(FormatError):
    pass


class EmbeddingMismatch(FormatError):
    pass
