"""The joint loss against values worked out by hand."""

from __future__ import annotations

from math import exp, isnan, log

import pytest

NAN = float("nan")


def softplus(x: float) -> float:
    return log(1 + exp(x))


def both(logits: list[list[float]], labels: list[list[float]], groups: list[int], weight: float) -> float:
    import torch

    from training.ranker.joint_loss import joint_loss

    told = torch.tensor(labels, dtype=torch.float32)
    return joint_loss(torch.tensor(logits), told, torch.tensor(groups), weight).item()


def test_cross_entropy_is_summed_over_heads_and_divided_by_rows() -> None:
    # One user each, so no pairs. -log p of a positive at logit 1 is softplus(-1), of a negative softplus(1).
    expected = (softplus(-1) + softplus(1) + softplus(2) + softplus(-2)) / 2
    assert both([[1.0, 1.0], [2.0, 2.0]], [[1, 0], [0, 1]], [0, 1], 0.3) == pytest.approx(expected, rel=1e-6)


def test_pairs_of_a_user_are_averaged_and_the_user_weighs_its_rows() -> None:
    # User 7: positive 2.0 against negatives 1.0 and 0.5, and 3 rows; user 4: one pair and 2 rows. 5 rows in all.
    pairs = 3 * (softplus(1.0 - 2.0) + softplus(0.5 - 2.0)) / 2 + 2 * softplus(0.0 - -1.0)
    pointwise = softplus(-2.0) + softplus(1.0) + softplus(0.5) + softplus(0.0) + softplus(1.0)
    logits, labels, groups = [[1.0], [0.0], [2.0], [-1.0], [0.5]], [[0], [0], [1], [1], [0]], [7, 4, 7, 4, 7]
    assert both(logits, labels, groups, 0.3) == pytest.approx((pointwise + 0.3 * pairs) / 5, rel=1e-6)
    assert both(logits, labels, groups, 0.0) == pytest.approx(pointwise / 5, rel=1e-6)


def test_unknown_label_is_in_neither_part() -> None:
    # Head 1 knows rows 0 and 2 only: one pair of a user with two rows that know.
    logits, labels = [[0.0, 1.0], [0.0, 9.0], [0.0, 0.0]], [[NAN, 1], [NAN, NAN], [NAN, 0]]
    expected = (softplus(-1.0) + softplus(0.0) + 0.3 * 2 * softplus(-1.0)) / 3
    assert both(logits, labels, [1, 1, 1], 0.3) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        pytest.param([1, 1], [0, 0], id="no_negative"),
        pytest.param([1, 0], [0, 1], id="of_different_users"),
        pytest.param([NAN, NAN], [0, 0], id="nothing_known"),
    ],
)
def test_without_a_pair_the_pair_loss_is_zero(labels: list[float], groups: list[int]) -> None:
    import torch

    from training.ranker.joint_loss import pair_loss

    logits = torch.tensor([[3.0], [1.0]], requires_grad=True)
    loss = pair_loss(logits, torch.tensor(labels, dtype=torch.float32)[:, None], torch.tensor(groups))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_equals_the_loop_over_all_pairs() -> None:
    import torch

    from training.ranker.joint_loss import pair_loss

    torch.manual_seed(0)
    logits, groups = torch.randn(40, 3), torch.randint(0, 6, (40,))
    labels = torch.randint(0, 2, (40, 3)).float()
    labels[torch.rand(40, 3) < 0.2] = NAN
    total = 0.0
    for user in groups.unique():
        for head in range(3):
            own = [row for row in range(40) if groups[row] == user and not labels[row, head].isnan()]
            good, bad = ([row for row in own if labels[row, head] == wanted] for wanted in (1, 0))
            losses = [softplus(logits[b, head].item() - logits[a, head].item()) for a in good for b in bad]
            total += len(own) * sum(losses) / len(losses) if losses else 0.0
    assert pair_loss(logits, labels, groups).item() == pytest.approx(total / 40, rel=1e-5)


def test_a_logit_that_is_no_number_is_not_hidden() -> None:
    assert isnan(both([[NAN], [0.0]], [[1], [0]], [0, 0], 0.3))
