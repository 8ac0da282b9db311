"""Non-maximum suppression of overlapping boxes."""

from __future__ import annotations

import numpy as np

BLOCK = 128  # boxes that are compared with all others in one step


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, by_min_area: bool = False) -> np.ndarray:
    """Return the indices of the boxes that are kept, int64 [M], highest score first.

    boxes: float32 [N, 4] XYXY; scores: float32 [N]; threshold: of two boxes that overlap by more, only the one with the
    higher score is kept. by_min_area: measures the overlap as `overlap` does.

    Ties are broken as in facenet-pytorch, because a clear face has several boxes with a score of 1: the first of equal
    boxes is kept, with `by_min_area` the last one.
    """
    order = np.argsort(scores, kind="stable")[::-1] if by_min_area else np.argsort(-scores, kind="stable")
    kept_blocks: list[np.ndarray] = []
    while order.size:
        block, order = order[:BLOCK], order[BLOCK:]
        suppressed = overlap(boxes[block], boxes[block], by_min_area) > threshold
        kept = np.ones(len(block), bool)
        for i in range(len(block)):
            if kept[i]:
                kept[i + 1 :] &= ~suppressed[i, i + 1 :]
        kept_blocks.append(block[kept])
        order = order[~(overlap(boxes[block[kept]], boxes[order], by_min_area) > threshold).any(axis=0)]
    return np.concatenate(kept_blocks) if kept_blocks else order


def overlap(a: np.ndarray, b: np.ndarray, by_min_area: bool = False) -> np.ndarray:
    """Measure the overlap of each box of `a` with each of `b`, in [0, 1]: [N, 4], [M, 4] XYXY -> [N, M].

    Intersection over union. With `by_min_area` intersection over the area of the smaller box, where the last row and
    column of pixels belong to the box.
    """
    if by_min_area:
        a, b = (boxes + np.array([0, 0, 1, 1], np.float32) for boxes in (a, b))
    left, top, right, bottom = a.T[:, :, None]
    b_left, b_top, b_right, b_bottom = np.ascontiguousarray(b.T)
    width = np.minimum(right, b_right) - np.maximum(left, b_left)
    height = np.minimum(bottom, b_bottom) - np.maximum(top, b_top)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    area = (right - left) * (bottom - top)
    b_area = (b_right - b_left) * (b_bottom - b_top)
    return intersection / (np.minimum(area, b_area) if by_min_area else area + b_area - intersection)
