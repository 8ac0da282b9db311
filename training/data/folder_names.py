"""Names of folders: the person's name in them, and names that are not those of people."""

from __future__ import annotations

import os
import re
import unicodedata

LEGACY_ENCODING = "cp1252"  # of names that are not UTF-8: that of Windows in Western Europe

# Words for parts of one person's photos. A folder named by them, by numbers or by a date is not a person's.
_PART_WORDS = """
album albums archive backup bilder bw camera cam close crop cropped crops dcim day edited enrol enroll export
face faces foto fotos front frontal gallery gif gifs good hd heic home image images img imgs indoor jpeg jpg
left mirror misc mobile more new night old original originals other others outdoor outdoors phone photo photos
pic pics picture pictures png portrait portraits probe profile raw ref reference right scan scans selfie selfies
session set side small upload uploads video webcam webp whatsapp work android apple canon nikon sony iphone 年 月
日 写真 spring summer autumn winter jan feb mar apr may jun jul aug sep oct nov dec january february march april
june july august september october november december
"""
_SPLIT_WORDS = "train training trainset test testing testset val valid validation dev eval holdout"
_PARTS, _SPLITS = frozenset(_PART_WORDS.split()), frozenset(_SPLIT_WORDS.split())


def decoded(name: str) -> str:
    """Return a name as the file system has it as text. Names that are not UTF-8 are read as LEGACY_ENCODING."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return os.fsencode(name).decode(LEGACY_ENCODING, "replace")


def is_utf8(name: str) -> bool:
    """Tell whether a name in the file system is UTF-8."""
    return decoded(name) == name


def display_name(folder: str) -> str:
    """Return the person's name for the name of a folder: Rohit_Sharma -> Rohit Sharma.

    It is in Unicode's composed form (NFC): some programs and file systems decompose letters with marks.
    """
    return unicodedata.normalize("NFC", " ".join(decoded(folder).replace("_", " ").split()))


def is_part_name(name: str) -> bool:
    """Tell whether a folder is named like a part of a person's photos: a year, a date, a number, `phone`, `front`."""
    words = re.findall(r"[^\W\d_]+", decoded(name).lower())
    return all(word in _PARTS for word in words)


def is_split_name(name: str) -> bool:
    """Tell whether a folder is named like a part of a data set: train, test, val."""
    words = re.findall(r"[^\W\d_]+", decoded(name).lower())
    return bool(words) and all(word in _SPLITS | {"set", "data", "images"} for word in words) and words[0] in _SPLITS


def is_full_name(name: str) -> bool:
    """Tell whether a folder is named like a person with first and last name: Rohit_Sharma, José de la Cruz."""
    words = display_name(name).replace(",", " ").split()
    capitals = sum(word[0] == word[0].upper() and word[0].isalpha() for word in words)
    return 2 <= len(words) <= 6 and capitals >= 2 and all(re.fullmatch(r"[^\W\d_][^\d_]*", word) for word in words)
