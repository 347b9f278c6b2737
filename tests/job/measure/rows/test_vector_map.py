"""Vectors as points of a plane and by their neighbours, against examples made by hand."""

import numpy as np
import pytest

from tunewright.job.measure.rows.vector_map import nearest, plane


def test_vectors_of_a_plane_keep_their_distances_and_others_what_fits_into_one():
    flat = np.array([[0, 0, 5], [4, 0, 5], [0, 2, 5], [4, 2, 5]], dtype=np.float32)
    points, explained = plane(flat)
    assert explained == pytest.approx(1)
    assert points.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(4)
    assert np.linalg.norm(points[0] - points[3]) == pytest.approx(np.sqrt(20))
    assert np.abs(points) == pytest.approx(np.tile([2, 1], (4, 1)))
    deep = np.eye(4) * [3, 2, 1, 0]
    middle = deep - deep.mean(axis=0)
    sizes = np.linalg.svd(middle, compute_uv=False) ** 2
    assert plane(deep)[1] == pytest.approx(sizes[:2].sum() / sizes.sum())


def test_the_plane_does_not_hang_on_signs_and_needs_no_second_direction():
    points, _ = plane(np.array([[1.0, 2.0], [3.0, 1.0], [-5.0, 0.0]]))
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()
    assert plane(np.array([[1.0], [3.0], [3.0]]))[0][:, 0] == pytest.approx([4 / 3, -2 / 3, -2 / 3])
    assert plane(np.array([[1.0], [3.0], [3.0]]))[0][:, 1].tolist() == [0, 0, 0]
    assert plane(np.ones((3, 2)))[1] == 1


def test_neighbours_are_the_others_by_cosine():
    angles = np.radians([0, 10, 90, 100])
    found = nearest(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert [[other for other, _ in others] for others in found] == [[1, 2, 3], [0, 2, 3], [3, 1, 0], [2, 1, 0]]
    assert found[0][0][1] == pytest.approx(np.cos(np.radians(10)))
    assert nearest(np.ones((1, 2))) == [[]]
