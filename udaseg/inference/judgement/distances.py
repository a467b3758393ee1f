"""Distances between the two domains: of the shares of classes, and of the features of a network."""

import numpy as np


def share_distance(shares_C: np.ndarray, other_C: np.ndarray) -> float:
    """Return half of the sum of |p_c - q_c|, the total variation distance, of counts or shares [C]: 0 to 1."""
    one_C, another_C = (values_C / max(values_C.sum(), 1e-300) for values_C in map(np.float64, (shares_C, other_C)))
    return float(np.abs(one_C - another_C).sum() / 2)


def frechet_distance(features_PD: np.ndarray, other_QD: np.ndarray) -> float | None:
    """Return the squared Fréchet distance of two Gaussians with the moments of these features, without a unit.

    (|m - n|^2 + tr(S + T - 2 (S T)^1/2)) / (tr S + tr T), with means m, n and covariances S, T (Dowson and Landau,
    The Fréchet Distance between Multivariate Normal Distributions, 1982). The division makes networks
    comparable, whose features have any scale. tr (S T)^1/2 is the sum of the singular values of A B^T, for S = A^T A
    and T = B^T B, and A and B may be replaced by the triangular factors of their QR decompositions. features: float
    [P, D] and [Q, D], of two rows or more. None where the rows of each are all equal: there is no variance.
    """
    if all((rows_PD == rows_PD[0]).all() for rows_PD in (features_PD, other_QD)):
        return None
    means, factors, traces = [], [], []
    for rows_PD in (features_PD, other_QD):
        rows_PD = rows_PD.astype(np.float64)
        mean_D = rows_PD.mean(0)
        centred_PD = (rows_PD - mean_D) / np.sqrt(len(rows_PD) - 1)
        means.append(mean_D)
        factors.append(np.linalg.qr(centred_PD, mode="r"))
        traces.append(np.square(centred_PD).sum())
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    squares = np.square(means[0] - means[1]).sum() + sum(traces) - 2 * shared
    return float(max(squares, 0) / sum(traces))
