"""Cross-entropy over the whole catalogue, in pieces: the matrix of all logits never exists.

Loss and gradients of a piece are made together while its logits lie in the cache, so that memory does not grow with
positions x items and time falls to less than half. After Cut Cross-Entropy (Wijmans et al. 2024, arXiv 2411.09009).
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from torch import Tensor  # noqa: TID253 - as above

PIECES = {"cpu": 512, "cuda": 16_384}
"""Positions at a time: on CPU a piece of some thousand items fits the second-level cache; a GPU wants few launches."""


class _CatalogueLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        d_vectors, d_weight, d_bias = torch.empty_like(vectors), torch.zeros_like(weight), torch.zeros_like(bias)
        total = vectors.new_zeros(())
        size = PIECES[vectors.device.type]
        for first in range(0, len(vectors), size):
            own, wanted = vectors[first : first + size], targets[first : first + size, None]
            logits = torch.addmm(bias, own, weight.T)
            norm = torch.logsumexp(logits, dim=1, keepdim=True)
            total += (norm - logits.gather(1, wanted)).sum()
            chances = logits.sub_(norm).exp_()
            chances.scatter_add_(1, wanted, torch.full_like(norm, -1.0))
            torch.mm(chances, weight, out=d_vectors[first : first + size])
            d_weight.addmm_(chances.T, own)
            d_bias += chances.sum(0)
        ctx.save_for_backward(d_vectors, d_weight, d_bias)
        ctx.n = len(vectors)
        return total / len(vectors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        share = grads[0] / ctx.n
        return (*(share * grad for grad in ctx.saved_tensors), None)


def catalogue_loss(vectors: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of `cross_entropy(vectors @ weight.T + bias, targets)`, differentiable once.

    Args:
        vectors: float32 [n, d], n ≥ 1.
        weight: float32 [items, d].
        bias: float32 [items].
        targets: int64 [n], rows of `weight`.
    """
    loss: Tensor = _CatalogueLoss.apply(vectors, weight, bias, targets)
    return loss
