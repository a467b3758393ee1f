"""How certain a network is of its predictions: probabilities, confidence, entropy, and the information in them."""

import numpy as np


def probabilities(logits_PC: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return softmax(logits / temperature): float32 [P, C] in and out."""
    scaled_PC = (logits_PC - logits_PC.max(1, keepdims=True)) / np.float32(temperature)
    np.exp(scaled_PC, out=scaled_PC)
    scaled_PC /= scaled_PC.sum(1, keepdims=True)
    return scaled_PC


def log_confidence(logits_PC: np.ndarray) -> np.ndarray:
    """Return the logarithm of the probability of the predicted class: float32 [P].

    It is -log(1 + the sum of exp(logit - largest logit) over the other classes), so that confidences which round to 1
    keep their order.
    """
    excess_PC = np.exp(logits_PC - logits_PC.max(1, keepdims=True))
    excess_PC[np.arange(len(excess_PC)), logits_PC.argmax(1)] = 0
    return -np.log1p(excess_PC.sum(1))


def entropy(probabilities_PC: np.ndarray) -> np.ndarray:
    """Return -sum_c p_c log p_c, in nats: [P] of the probabilities [..., C]; 0 log 0 is 0."""
    logarithms_PC = np.log(np.maximum(probabilities_PC, np.finfo(np.float32).tiny))
    return -(probabilities_PC * logarithms_PC).sum(-1)


def information(probabilities_PC: np.ndarray) -> float:
    """Return H(mean of p) - mean of H(p), in nats, of probabilities [P, C].

    It is the mutual information of a pixel and its class: small for a network that is uncertain, and for one that
    gives all pixels one class (Bridle, Heading and MacKay, NIPS 1991; a validator of domain adaptation in
    Musgrave et al., Three New Validators, 2022).
    """
    mean_C = probabilities_PC.mean(0, dtype=np.float64)
    return float(entropy(mean_C) - entropy(probabilities_PC).mean(dtype=np.float64))
