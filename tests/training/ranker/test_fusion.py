"""Pooling and fusion of the ranker, on numbers small enough to see."""

from __future__ import annotations

import pytest

from tests.training.ranker_maker import SMALL
from training.ranker.rows import Fusion


def test_newest_rows_stand_side_by_side_and_zeros_for_those_that_are_missing() -> None:
    import torch

    from training.ranker.fusion import newest

    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    assert newest(x, 2).tolist() == [[3.0, 4.0, 5.0, 6.0]]
    assert newest(x, 4).tolist() == [[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]


def test_maximum_is_over_known_rows_and_zero_without_one() -> None:
    import torch

    from training.ranker.fusion import maximum

    x = torch.tensor([[[-1.0, 9.0], [-3.0, -4.0]], [[1.0, 1.0], [2.0, 2.0]]])
    known = torch.tensor([[True, True], [False, False]])
    assert maximum(x, known).tolist() == [[-1.0, 9.0], [0.0, 0.0]]
    assert maximum(x, ~known).tolist() == [[0.0, 0.0], [2.0, 2.0]]


def test_mean_is_over_known_rows() -> None:
    import torch

    from training.ranker.fusion import MeanPool

    pool = MeanPool(SMALL)
    x, known = torch.tensor([[[1.0], [3.0], [50.0]]]), torch.tensor([[True, True, False]])
    assert pool.encode(x, known).tolist() == [[[2.0]]]
    assert pool.encode(x, ~known & known).tolist() == [[[0.0]]]


def test_concatenated_candidate_is_in_every_row_before_attention() -> None:
    import torch

    from training.ranker.fusion import ConcatFusion

    torch.manual_seed(0)
    part = ConcatFusion(SMALL).eval()
    rows, known = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    seen = part(part.encode(rows, known), known, torch.tensor([0, 0]), torch.randn(2, 8))
    changed = (seen[0] - seen[1]).abs().reshape(-1, 8).amax(dim=1)
    assert len(changed) == SMALL.n_newest + 1
    assert (changed > 1e-4).all()


def test_candidate_without_a_known_row_asks_a_row_of_zeros() -> None:
    import torch

    from training.ranker.fusion import CrossBlock

    torch.manual_seed(0)
    block = CrossBlock(SMALL).eval()
    candidate, nobody = torch.randn(2, 8), torch.zeros(2, 5, dtype=torch.bool)
    one, other = (block(candidate, torch.randn(2, 5, 8), nobody, torch.tensor([0, 1])) for _ in range(2))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one, block(candidate, torch.zeros(2, 1, 8), nobody[:, :1], torch.tensor([0, 1])))


@pytest.mark.slow
@pytest.mark.parametrize("fusion", list(Fusion))
def test_fusion_learns_which_rows_are_like_the_candidate(fusion: Fusion) -> None:
    import dataclasses

    import torch

    from training.ranker.fusion import sequence_part

    torch.manual_seed(0)
    shape = dataclasses.replace(SMALL, fusion=fusion)
    part = sequence_part(shape)
    head = torch.nn.Linear(part.n_outputs, 1)
    table = torch.randn(6, 8)
    optimizer = torch.optim.Adam([*part.parameters(), *head.parameters()], lr=0.01)
    request, known = torch.arange(64), torch.ones(64, 4, dtype=torch.bool)
    loss = torch.tensor(0.0)
    for _ in range(250):
        history, candidate = torch.randint(0, 6, (64, 4)), torch.randint(0, 6, (64,))
        wanted = (history == candidate[:, None]).any(dim=1, keepdim=True).float()
        logits = head(part(part.encode(table[history], known), known, request, table[candidate]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    # Even odds, as about half of the candidates are in the history: ln 2 = 0.69.
    assert loss.item() < 0.4
