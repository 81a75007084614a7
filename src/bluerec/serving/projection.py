"""Items, sentences and recommendations as points in a plane: the two directions in which the items differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bluerec.types import Float32Array

WIDTH, HEIGHT, MARGIN = 640, 400, 28
PointKind = Literal["taken", "recommended", "sentence"]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the map, in the units of its view box.

    `label` is untrusted text, `n` counts within the kind, `tone` is the place of the sentence it belongs to, None
    where there is none.
    """

    kind: PointKind
    label: str
    n: int
    x: float
    y: float
    tone: int | None = 0


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane among the vectors and the part of it that the map shows. It stays while a draft moves within it."""

    centre: Float32Array  # (dimension,)
    directions: Float32Array  # (2, dimension)
    low: Float32Array  # (2,)
    span: Float32Array  # (2,)

    def place(self, vectors: Float32Array) -> Float32Array:
        """Places (n_points, 2) in the units of the map; what lies outside stands at its edge."""
        scaled = np.clip((_project(vectors, self.centre, self.directions) - self.low) / self.span, 0.0, 1.0)
        size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
        return (MARGIN + scaled * size).astype(np.float32)


def fit_plane(items: Float32Array, others: Float32Array) -> Plane:
    """The plane of `items` (n_items, dimension), wide enough for `others` too.

    Only items decide on the directions: sentences, which lie apart from all titles, are placed by what they say and
    not by being sentences. With fewer than three items all points decide. Signs are fixed.
    """
    both = np.concatenate([items, others])
    fitted = items if len(items) > 2 else both
    centre = fitted.mean(axis=0) if len(fitted) else np.zeros(both.shape[1], dtype=np.float32)
    directions = np.zeros((2, both.shape[1]), dtype=np.float32)
    if len(fitted) > 1:
        _, _, found = np.linalg.svd(fitted - centre, full_matrices=False)
        for axis, direction in enumerate(found[:2]):
            directions[axis] = direction if direction[np.argmax(np.abs(direction))] >= 0 else -direction
    plane = _project(both, centre, directions)
    if not len(plane):
        return Plane(centre, directions, np.zeros(2, np.float32), np.ones(2, np.float32))
    low, high = plane.min(axis=0), plane.max(axis=0)
    flat = high - low < 1e-6
    return Plane(centre, directions, np.where(flat, low - 0.5, low), np.where(flat, 1.0, high - low))


def _project(vectors: Float32Array, centre: Float32Array, directions: Float32Array) -> Float32Array:
    if not len(vectors):
        return np.zeros((0, 2), dtype=np.float32)
    return np.asarray((vectors - centre) @ directions.T, dtype=np.float32)
