"""Leading singular vectors of a matrix that is known by its products with vectors only."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...compute.progress import About, Progress
from ...errors import UserError
from .block import JacobianBlock

_DENSE_ROWS = 32
"""Rows up to which the block is computed whole: Lanczos would take as many products."""
_DENSE_ENTRIES = 2**27
_RESTARTS = 60
_RANK = 1e-6
"""Share of the largest singular value below which one is rounding."""


class Singular(NamedTuple):
    """Leading singular triplets, the largest first.

    Attributes:
        left: Float64 (m, k), orthonormal columns.
        values: Float64 (k,).
        right: Float64 (n, k), orthonormal columns.
        residuals: Float64 (k,), ‖J·v - σ·u‖ / σ; Jᵀ·u = σ·v holds to rounding.
        squares: ‖J‖², the sum of all squared singular values.
        squares_error: Its standard error; 0 where it is exact.
    """

    left: np.ndarray
    values: np.ndarray
    right: np.ndarray
    residuals: np.ndarray
    squares: float
    squares_error: float


def leading_singular_vectors(
    block: JacobianBlock, count: int, tolerance: float, probes: int, seed: int, progress: Progress | None
) -> Singular:
    """The `count` leading singular triplets, fewer where the block has a lower rank.

    Lanczos iterations with restarts on J·Jᵀ (Lehoucq, Sorensen & Yang, "ARPACK users' guide", 1998, by
    `scipy.sparse.linalg.eigsh`) until ‖J·Jᵀ·u - σ²·u‖ ≤ tolerance · σ², then one Rayleigh-Ritz step on Jᵀ·U. Of a few
    rows all are computed and the decomposition is that of the whole block. The squares that the triplets leave over are
    estimated from random signs in the rest of the space (Hutchinson, 1990; Meyer et al., "Hutch++", 2021).

    Raises:
        UserError: The block is 0, or nothing converged.
    """
    rows, columns = block.shape
    random = np.random.default_rng(seed)
    is_dense = rows <= _DENSE_ROWS and rows * columns <= _DENSE_ENTRIES
    basis = min(rows, max(2 * count + 1, 20))
    total = rows + count if is_dense else 2 * (basis + 4 * (basis - count)) + 2 * count + probes + 1

    def step() -> None:
        if progress is not None:
            progress(block.products, About(max(total, block.products + 1)))

    if is_dense:
        whole = np.empty((rows, columns), np.float32)
        for row in range(rows):
            whole[row] = block.pull(np.eye(1, rows, row))
            step()
        squares, error = float(np.square(whole, dtype=np.float64).sum()), 0.0
        if squares == 0:
            raise _dead()
        gram = _gram(whole)
        left = np.linalg.eigh(gram)[1][:, ::-1][:, : min(count, rows)]
        pulled = (left.T @ whole).T.astype(np.float64)
    else:
        if not block.pull(random.standard_normal(rows)).any():
            raise _dead()
        left = _lanczos(block, min(count, rows - 1), basis, tolerance, random, step)
        pulled = np.stack([_after(block.pull(one), step) for one in left.T], axis=1)
    right, values, turn = np.linalg.svd(pulled, full_matrices=False)
    left = left @ turn.T
    kept = values > _RANK * values[0]
    left, values, right = left[:, kept], values[kept], right[:, kept]
    residuals = np.empty(len(values))
    for index, (ours, value, change) in enumerate(zip(left.T, values, right.T, strict=True)):
        residuals[index] = np.linalg.norm(block.push(change) - value * ours) / value
        step()
    if not is_dense:
        found = np.empty(probes)
        for index in range(probes):
            signs = random.choice((-1.0, 1.0), rows)
            found[index] = np.square(block.pull(signs - left @ (left.T @ signs))).sum()
            step()
        squares = float(np.square(values).sum() + found.mean())
        error = float(found.std(ddof=1) / np.sqrt(probes))
    return Singular(left, values, right, residuals, squares, error)


def _lanczos(
    block: JacobianBlock,
    count: int,
    basis: int,
    tolerance: float,
    random: np.random.Generator,
    step: Callable[[], None],
) -> np.ndarray:
    """Orthonormal columns (m, count) near the leading left singular vectors."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # noqa: PLC0415 - slow to import

    rows = block.shape[0]

    def product(weights: np.ndarray) -> np.ndarray:
        pulled = block.pull(weights)
        step()
        pushed = block.push(pulled)
        step()
        return pushed

    operator = LinearOperator((rows, rows), matvec=product, dtype=np.float64)
    start = random.standard_normal(rows)
    try:
        values, vectors = eigsh(operator, count, which="LA", ncv=basis, tol=tolerance, maxiter=_RESTARTS, v0=start)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
        if not len(values):
            raise UserError(
                f"No direction converged to a tolerance of {tolerance:g}; ask for fewer, or allow a larger tolerance."
            ) from error
    return np.linalg.qr(vectors[:, np.argsort(-values)])[0]


def _gram(rows: np.ndarray) -> np.ndarray:
    """The inner products (m, m) of rows (m, n), in float64 but without a copy of all rows in it."""
    part = max(1, 2**22 // len(rows))
    blocks = (rows[:, start : start + part].astype(np.float64) for start in range(0, rows.shape[1], part))
    return sum((one @ one.T for one in blocks), np.zeros((len(rows), len(rows))))


def _after(found: np.ndarray, step: Callable[[], None]) -> np.ndarray:
    step()
    return found


def _dead() -> UserError:
    return UserError(
        "No pixel of the image moves the scores of this region: all their gradients are 0. Choose other pixels, or the "
        "logit, which does not saturate."
    )
