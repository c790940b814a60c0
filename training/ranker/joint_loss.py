"""The ranker's loss: how probable each outcome is, and which of a user's rows is the better one.

Binary cross-entropy gives probabilities that mean something; the pairwise part asks only for order within a user, which
is what a slate shows. In the spirit of JRC (Sheng et al., KDD 2023), with pairs in place of its listwise softmax.
"""

from __future__ import annotations

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from torch import Tensor  # noqa: TID253 - as above
from torch.nn.functional import binary_cross_entropy_with_logits, softplus  # noqa: TID253 - as above


def joint_loss(logits: Tensor, labels: Tensor, groups: Tensor, weight: float) -> Tensor:
    """Return cross-entropy + weight x pair loss, each summed over the heads and divided by the number of rows.

    Args:
        logits: float32 [n, heads], n ≥ 1.
        labels: float32 [n, heads], 0, 1 or NaN = the row tells nothing of this head.
        groups: int64 [n], the user of each row, in any order.
        weight: of the pair loss.
    """
    each = binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    # Divided by all rows: a label weighs the same in whichever mini-batch it lands, however few others know that head.
    pointwise = each.masked_fill(labels.isnan(), 0.0).sum() / len(labels)
    return pointwise + weight * pair_loss(logits, labels, groups) if weight else pointwise


def pair_loss(logits: Tensor, labels: Tensor, groups: Tensor) -> Tensor:
    """Return the mean logistic loss of a user's (positive, negative) pairs, a user weighing as much as it has rows.

    0 where no user has both. Time and memory grow with the sum of the squares of the users' numbers of rows.
    """
    order = torch.argsort(groups, stable=True)
    logits, labels = logits[order], labels[order]
    # NaN is neither.
    positive, negative = labels > 0.5, labels <= 0.5
    _, own, sizes = torch.unique_consecutive(groups[order], return_inverse=True, return_counts=True)
    left, right = _pairs(own, sizes)
    told = positive[left] & negative[right]
    kept = told.any(dim=1).nonzero()[:, 0]
    left, right, told = left[kept], right[kept], told[kept]
    n_positive, n_negative = (
        torch.zeros(len(sizes), labels.shape[1], device=labels.device).index_add(0, own, part.float())
        for part in (positive, negative)
    )
    share = (n_positive + n_negative) / (n_positive * n_negative).clamp(min=1)
    return (softplus(logits[right] - logits[left]) * told * share[own[left]]).sum() / len(labels)


def _pairs(own: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return both places of every ordered pair of rows of one group, given rows that are sorted by group."""
    rows = torch.arange(len(own), device=own.device)
    partners = sizes[own]
    left = torch.repeat_interleave(rows, partners)
    place = torch.arange(len(left), device=own.device) - (partners.cumsum(0) - partners)[left]
    return left, (sizes.cumsum(0) - sizes)[own[left]] + place
