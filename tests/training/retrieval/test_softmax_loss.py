"""The loss in pieces is torch's cross-entropy, gradients included."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("n", [1, 511, 1_300])
def test_loss_and_gradients_are_those_of_cross_entropy(n: int) -> None:
    import torch

    from training.retrieval.softmax_loss import catalogue_loss

    torch.manual_seed(0)
    made = (torch.randn(n, 8), torch.randn(40, 8), torch.randn(40))
    targets = torch.randint(0, 40, (n,))

    def both(loss: object) -> list[torch.Tensor]:
        vectors, weight, bias = (part.clone().requires_grad_() for part in made)
        value = loss(vectors, weight, bias)  # type: ignore[operator]
        (3 * value).backward()
        return [value, *(part.grad for part in (vectors, weight, bias))]

    ours = both(lambda vectors, weight, bias: catalogue_loss(vectors, weight, bias, targets))
    torchs = both(lambda vectors, weight, bias: torch.nn.functional.cross_entropy(vectors @ weight.T + bias, targets))
    for own, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_certain_and_impossible_targets_give_numbers() -> None:
    import torch

    from training.retrieval.softmax_loss import catalogue_loss

    vectors = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    loss = catalogue_loss(vectors, torch.tensor([[1.0], [-1.0]]), torch.zeros(2), torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
