from __future__ import annotations

import numpy as np

from model.detection.nms import BLOCK, nms, overlap


def test_the_best_of_overlapping_boxes_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 2, 5, 5]], np.float32)
    scores = np.array([0.8, 0.9, 0.5, 0.6], np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert nms(boxes, scores, 0.5, by_min_area=True).tolist() == [1, 2]


def test_ties_are_broken_as_in_facenet_pytorch() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 1, 10, 11]], np.float32)
    scores = np.ones(3, np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [0]
    assert nms(boxes, scores, 0.5, by_min_area=True).tolist() == [2]


def test_no_boxes() -> None:
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []


def test_more_boxes_than_one_block() -> None:
    random = np.random.RandomState(0)
    corners = random.uniform(0, 60, (3 * BLOCK, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (3 * BLOCK, 2))], axis=1).astype(np.float32)
    scores = random.uniform(0, 1, 3 * BLOCK).astype(np.float32)
    kept = nms(boxes, scores, 0.3)
    assert (np.diff(scores[kept]) <= 0).all()
    overlapping = overlap(boxes, boxes) > 0.3
    for i in range(3 * BLOCK):
        better = [j for j in kept if j != i and scores[j] >= scores[i] and overlapping[i, j]]
        assert (i in kept) == (not better)
