"""Soft neighbourhood density: how many near neighbours each prediction has among those of the target."""

import numpy as np

from udaseg.inference.judgement.certainty import entropy

TEMPERATURE = 0.05  # of the similarities, as published for all experiments


def soft_neighbourhood_density(probabilities_PC: np.ndarray, temperature: float = TEMPERATURE) -> float:
    """Return the mean entropy of the similarities of each prediction to all others, in nats.

    With the predictions f_i scaled to length 1: S_ij = <f_i, f_j>, P_ij = softmax over j other than i of S_ij / tau,
    SND = mean over i of -sum_j P_ij log P_ij (Saito et al., Tune it the Right Way, ICCV 2021, section 3). It is
    log(P - 1) where all predictions are alike, and lower where a prediction has few neighbours. The time grows with
    the square of P. probabilities: float32 [P, C], P at least 2.
    """
    lengths_P = np.linalg.norm(probabilities_PC, axis=1, keepdims=True)
    directions_PC = probabilities_PC / lengths_P
    similarity_PP = directions_PC @ directions_PC.T / np.float32(temperature)
    np.fill_diagonal(similarity_PP, -np.inf)
    similarity_PP -= similarity_PP.max(1, keepdims=True)
    np.exp(similarity_PP, out=similarity_PP)
    similarity_PP /= similarity_PP.sum(1, keepdims=True)
    return float(entropy(similarity_PP).mean(dtype=np.float64))
