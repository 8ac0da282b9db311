"""Find the small faces of a photo: of a large group, or of people behind those in front.

The photo is searched with more and more pixels, each time for faces smaller than before. Time grows with the pixels,
and textures look like faces if there are enough of them. Therefore the search goes on only as long as it finds faces,
or if nobody was found at all. The faces that were found before stay as they are.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Iterator, NamedTuple, Sequence

import numpy as np
from PIL import Image

from model.detection.boxes import boxes_of
from model.detection.downscale import downscale
from model.detection.nms import overlap
from model.detection.stages import Results, Search, Stages, joined
from model.face import Face
from model.freed_memory import release_freed_memory
from model.photo import Photo

# Pixels of the photo's longer side, one search each: faces of 2, 1 and 0.7 % have SMALLEST pixels. Phones' photos of
# 4,000 pixels are decoded at 1/4, 1/2 and 1/1 for them.
SIDES = (1000, 2000, 3000)
SMALLEST = 20  # pixels of a face in the searched image
LARGEST = 0.84  # windows, relative to the smallest face of the search before: half a level of the pyramid below it
TILE = 432  # pixels: more are searched in tiles. Of 1,000 pixels, they are no faster in a request and take 100 MB more
OVERLAP = 64  # pixels: a face on the edge of a tile is whole in the next one
CERTAIN = 0.98  # confidence: reached by four in five small faces, and not by patterns of clothes or circuit boards
KNOWN = 0.5  # overlap with a face that was found before, by the smaller area
# Stricter than MTCNN's own overlaps, which halves the time. Other boxes than MTCNN's may be returned for a face.
CANDIDATE_OVERLAP, REFINED_OVERLAP = 0.5, 0.4


class Tile(NamedTuple):
    """A part of an image. Edges XYXY in pixels of the image.

    region: that is searched; core: without the overlap, in which the faces found in it have their centres.
    """

    region: tuple[int, int, int, int]
    core: tuple[int, int, int, int]


def find_small(stages: Stages, photo: Photo, faces: Sequence[Face], smallest: float, most: int) -> list[Face]:
    """Add the small faces of a photo to those that were found already.

    smallest: side of the smallest face among the latter, in pixels of the photo; most: number of faces that are enough.
    Raises UnreadableImage.
    """
    found = list(faces)
    for side in SIDES:
        next_smallest = SMALLEST * max(1.0, photo.longer_side / side)
        if next_smallest > LARGEST * smallest or len(found) >= most:
            break
        smaller = _search(stages, photo, found, side, LARGEST * smallest)
        release_freed_memory()
        # Beside a certain face, those with a low confidence are faces, too.
        if any(face.confidence >= CERTAIN for face in smaller):
            found += smaller
        elif found:
            break
        smallest = next_smallest
    return found


def tiles(width: int, height: int) -> Iterator[Tile]:
    """Divide an image of width x height pixels."""
    for (top, bottom, core_top, core_bottom), (left, right, core_left, core_right) in product(
        _parts(height), _parts(width)
    ):
        yield Tile((left, top, right, bottom), (core_left, core_top, core_right, core_bottom))


def _parts(length: int) -> Iterator[tuple[int, int, int, int]]:
    """Divide a length into parts of up to TILE pixels: start and end of each, with the overlap and without it.

    All parts have one size, because torch keeps what it prepares for each.
    """
    count = max(1, math.ceil((length - OVERLAP) / (TILE - OVERLAP)))
    size = math.ceil((length + (count - 1) * OVERLAP) / count)
    starts = [round((length - size) * i / max(1, count - 1)) for i in range(count)]
    cuts = [0, *((start + before + size) // 2 for before, start in zip(starts, starts[1:])), length]
    for start, low, high in zip(starts, cuts, cuts[1:]):
        yield start, start + size, low, high


def _search(stages: Stages, photo: Photo, faces: Sequence[Face], side: int, largest: float) -> list[Face]:
    """Find the faces that are not known yet. largest: see `Search`, in pixels of the photo."""
    image = downscale(photo.at_scale(side / photo.longer_side), side)
    known = boxes_of(faces) * np.tile(np.array(image.size, np.float32) / (photo.width, photo.height), 2)
    largest *= max(image.size) / photo.longer_side
    results = [_search_tile(stages, image, tile, known, largest) for tile in tiles(*image.size)]
    best = joined(results).best()
    return best.take(~_overlap_any(best.boxes, known)).faces(photo, image)


def _search_tile(stages: Stages, image: Image.Image, tile: Tile, known: np.ndarray, largest: float) -> Results:
    """Find the faces that have their centres in a tile. known: boxes in the image, [N, 4] XYXY."""
    left, top = tile.region[:2]
    near = known[_overlap_any(known, np.array([tile.region], np.float32), 0.0)]

    def select(windows: np.ndarray) -> np.ndarray:
        windows = windows + np.array([left, top, left, top], np.float32)
        centres = (windows[:, :2] + windows[:, 2:]) / 2
        selected: np.ndarray = ((centres >= tile.core[:2]) & (centres < tile.core[2:])).all(axis=1)
        selected[selected] = ~_overlap_any(windows[selected], near)
        return selected

    search = Search(SMALLEST, largest, select, CANDIDATE_OVERLAP, REFINED_OVERLAP)
    return stages.results(image.crop(tile.region), search).moved(left, top)


def _overlap_any(boxes: np.ndarray, others: np.ndarray, threshold: float = KNOWN) -> np.ndarray:
    """Tell which boxes overlap with one of the others by more than the threshold: [N, 4], [M, 4] XYXY -> bool [N]."""
    overlapping: np.ndarray = (overlap(boxes, others, by_min_area=True) > threshold).any(axis=1)
    return overlapping
