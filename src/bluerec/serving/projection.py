"""Items, sentences and recommendations as points in a plane: the two directions in which they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bluerec.types import Float32Array

WIDTH, HEIGHT, MARGIN = 640, 400, 28
PointKind = Literal["taken", "recommended", "sentence"]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the map, in the units of its view box; `label` is untrusted text, `n` counts within the kind."""

    kind: PointKind
    label: str
    n: int
    x: float
    y: float


def project(vectors: Float32Array) -> Float32Array:
    """Principal components of (n_points, dimension), the first two: (n_points, 2). Signs are fixed."""
    if len(vectors) == 0:
        return np.zeros((0, 2), dtype=np.float32)
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2), dtype=np.float32)
    for axis, direction in enumerate(directions[:2]):
        sign = 1.0 if direction[np.argmax(np.abs(direction))] >= 0 else -1.0
        plane[:, axis] = sign * (centred @ direction)
    return plane


def place_points(groups: Sequence[tuple[PointKind, Sequence[str], Float32Array]]) -> list[Point]:
    """Points for groups of (kind, labels, vectors of shape (n_labels, dimension)), scaled into the map."""
    filled = [group for group in groups if len(group[1])]
    if not filled:
        return []
    plane = project(np.concatenate([vectors for _, _, vectors in filled]))
    low, high = plane.min(axis=0), plane.max(axis=0)
    span = np.where(high - low > 1e-6, high - low, 1.0)
    scaled = np.where(high - low > 1e-6, (plane - low) / span, 0.5)
    names = [(kind, label, n) for kind, labels, _ in filled for n, label in enumerate(labels, start=1)]
    size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    return [
        Point(kind, label, n, round(float(x), 1), round(float(y), 1))
        for (kind, label, n), (x, y) in zip(names, MARGIN + scaled * size, strict=True)
    ]
