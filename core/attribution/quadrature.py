"""Nodes and weights of the rules that approximate an integral over [0, 1]."""

from typing import Literal, get_args

import numpy as np

from ..errors import UserError

Rule = Literal["gausslegendre", "midpoint", "left", "right", "trapezoid"]

RULES: tuple[Rule, ...] = get_args(Rule)


def nodes_and_weights(rule: Rule, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, 1], ascending, and their weights, both float64 (n,); the weights sum to 1.

    - gausslegendre: exact for polynomials of degree 2n - 1 (Golub & Welsch 1969).
    - midpoint: (i + 1/2) / n; left: i / n; right: (i + 1) / n, all of weight 1/n.
    - trapezoid: i / (n - 1), of weight 1/(n - 1), half of that at both ends.

    Raises:
        UserError: An unknown rule or too few nodes.
    """
    if rule not in RULES:
        raise UserError(f'The rule is one of {", ".join(RULES)}; "{rule}" was given.')
    fewest = 2 if rule == "trapezoid" else 1
    if n < fewest:
        raise UserError(f"The {rule} rule needs at least {fewest} steps; {n} were given.")
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return (nodes + 1) / 2, weights / weights.sum()
    if rule == "trapezoid":
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
        return np.arange(n) / (n - 1), weights
    shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
    return (np.arange(n) + shift) / n, np.full(n, 1 / n)
