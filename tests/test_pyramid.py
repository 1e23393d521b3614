"""The pyramid's conventions, on numpy, and the torch operations against it."""

import numpy as np
import pytest

from lapcvae import pyramid


def picture(height=32, width=32, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).random((height, width, 3)).astype(dtype)


@pytest.mark.parametrize("height, width, levels", [(32, 32, 3), (48, 16, 2), (4, 8, 1)])
def test_collapse_undoes_decompose(height, width, levels):
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
        x = picture(height, width, dtype=dtype)
        h = pyramid.decompose(x, levels)
        assert [v.shape[:2] for v in h] == [(height >> k, width >> k) for k in range(levels + 1)]
        back = pyramid.collapse(h)
        assert back.dtype == dtype and np.abs(back - x).max() < tolerance


def test_constants_stay_constants():
    x = np.full((16, 8, 3), 0.3)
    for made in (pyramid.d(x), pyramid.u(x), pyramid.reduce(x, 2), pyramid.enlarge(x, 2)):
        np.testing.assert_allclose(made, 0.3, rtol=0, atol=1e-12)
    # So the fine levels of a constant are 0.
    assert all(np.abs(h).max() < 1e-12 for h in pyramid.decompose(x, 2)[:-1])


def test_a_ramp_keeps_its_place():
    # Pixel j shows its own centre, j + .5; away from the edges, where replication bends it, so must every level.
    n = 32
    ramp = np.broadcast_to((np.arange(n) + 0.5)[None, :, None], (n, n, 1))
    coarse = pyramid.d(ramp)
    np.testing.assert_allclose(coarse[0, 1:-1, 0], 2 * (np.arange(1, n // 2 - 1) + 0.5), atol=1e-12)
    np.testing.assert_allclose(pyramid.u(coarse)[0, 3:-3, 0], ramp[0, 3:-3, 0], atol=1e-12)


@pytest.mark.parametrize("operation", [pyramid.d, pyramid.u], ids=["d", "u"])
def test_flips_and_transposition_commute(operation):
    x = picture(8, 16)
    np.testing.assert_allclose(operation(x[:, ::-1]), operation(x)[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(operation(x[::-1]), operation(x)[::-1], atol=1e-12)
    np.testing.assert_allclose(operation(x.transpose(1, 0, 2)), operation(x).transpose(1, 0, 2), atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("row, column", [(3, 3), (2, 5)])
def test_a_painted_cell_lies_over_its_block(levels, row, column):
    coarse = np.zeros((8, 8, 1))
    coarse[row, column] = 1
    weight = pyramid.enlarge(coarse, levels)[..., 0]
    place = np.arange(weight.shape[0]) + 0.5
    block = 1 << levels
    y, x = (weight.sum(1) * place).sum() / weight.sum(), (weight.sum(0) * place).sum() / weight.sum()
    assert abs(y - (row + 0.5) * block) < 0.25 and abs(x - (column + 0.5) * block) < 0.25
    # And back: d puts the most of it where it was painted.
    assert np.unravel_index(pyramid.reduce(weight[..., None], levels).argmax(), (8, 8)) == (row, column)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_pseudo_inverse_is_reduced_to_what_it_came_from(levels):
    n = 32
    a, lift = pyramid.reduce_matrix(n, levels), pyramid.lift_matrix(n >> levels, levels)
    c = picture(n >> levels, n >> levels)
    # D(A+ c A+^T) = c.
    lifted = np.einsum("ij,jkc,lk->ilc", lift, c, lift)
    np.testing.assert_allclose(pyramid.reduce(lifted, levels), c, atol=1e-10)
    # The smallest such change: A+ A is an orthogonal projection.
    np.testing.assert_allclose(lift @ a, (lift @ a).T, atol=1e-10)


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_project_gives_exactly_the_wanted_picture(levels):
    x, wanted = picture(seed=1), picture(32 >> levels, 32 >> levels, seed=2)
    made = pyramid.project(x, wanted)
    np.testing.assert_allclose(pyramid.reduce(made, levels), wanted, atol=1e-10)
    # Nothing is left to change.
    np.testing.assert_allclose(pyramid.project(made, wanted), made, atol=1e-10)
    single = pyramid.project(x.astype(np.float32), wanted.astype(np.float32))
    assert single.dtype == np.float32 and np.abs(pyramid.reduce(single, levels) - wanted).max() < 1e-5


def test_reduce_is_d_again_and_again():
    x = picture(16, 32)
    np.testing.assert_allclose(pyramid.reduce(x, 2), pyramid.d(pyramid.d(x)), atol=1e-12)
    assert pyramid.reduce(x, 0) is x


@pytest.mark.parametrize("size", [0, 1, 7])
def test_odd_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"not {size}"):
        pyramid.d_matrix(size)


def test_torch_does_the_same():
    torch = pytest.importorskip("torch")
    from training import pyramid as on_torch

    x, c = picture(16, 32, dtype=np.float32), picture(4, 8, seed=3, dtype=np.float32)

    def tensor(v):
        return torch.from_numpy(v.transpose(2, 0, 1)[None].copy())

    for got, wanted in (
        (on_torch.d(tensor(x)), pyramid.d(x)),
        (on_torch.u(tensor(x)), pyramid.u(x)),
        (on_torch.reduce(tensor(x), 2), pyramid.reduce(x, 2)),
        (on_torch.enlarge(tensor(x), 2), pyramid.enlarge(x, 2)),
        (on_torch.project(tensor(x), tensor(c)), pyramid.project(x, c)),
        *zip(on_torch.gaussians(tensor(x), 2), pyramid.gaussians(x, 2), strict=True),
    ):
        assert np.abs(got[0].numpy().transpose(1, 2, 0) - wanted).max() < 1e-6
    # At the sizes of a real model float32 loses a little more: A+ has entries above 1.
    big, small = picture(128, 128, dtype=np.float32), picture(16, 16, dtype=np.float32)
    got = on_torch.project(tensor(big), tensor(small))[0].numpy().transpose(1, 2, 0)
    assert np.abs(got - pyramid.project(big, small)).max() < 1e-5
