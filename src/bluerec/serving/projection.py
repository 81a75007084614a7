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


def project(vectors: Float32Array, n_fitted: int | None = None) -> Float32Array:
    """Principal components of (n_points, dimension), the first two: (n_points, 2). Signs are fixed.

    With `n_fitted` the components are those of the first so many points: the plane of the items, in which sentences,
    which lie apart from all titles, are placed by what they say and not by being sentences.
    """
    if len(vectors) == 0:
        return np.zeros((0, 2), dtype=np.float32)
    fitted = vectors[:n_fitted]
    centred = vectors - fitted.mean(axis=0)
    _, _, directions = np.linalg.svd(centred[:n_fitted], full_matrices=False)
    plane = np.zeros((len(vectors), 2), dtype=np.float32)
    for axis, direction in enumerate(directions[:2]):
        sign = 1.0 if direction[np.argmax(np.abs(direction))] >= 0 else -1.0
        plane[:, axis] = sign * (centred @ direction)
    return plane


def place_points(groups: Sequence[tuple[PointKind, Sequence[str], Float32Array]]) -> list[Point]:
    """Points for groups of (kind, labels, vectors (n_labels, dimension)), sentences last, scaled to the map."""
    filled = [group for group in groups if len(group[1])]
    if not filled:
        return []
    n_items = sum(len(labels) for kind, labels, _ in filled if kind != "sentence")
    plane = project(np.concatenate([vectors for _, _, vectors in filled]), n_items if n_items > 2 else None)
    low, high = plane.min(axis=0), plane.max(axis=0)
    span = np.where(high - low > 1e-6, high - low, 1.0)
    scaled = np.where(high - low > 1e-6, (plane - low) / span, 0.5)
    names = [(kind, label, n) for kind, labels, _ in filled for n, label in enumerate(labels, start=1)]
    size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    return [
        Point(kind, label, n, round(float(x), 1), round(float(y), 1))
        for (kind, label, n), (x, y) in zip(names, MARGIN + scaled * size, strict=True)
    ]
