"""The transformer's masks: nothing of the future, nothing of the padding."""

from __future__ import annotations

from typing import Any

import pytest

N_ITEMS, LENGTH = 20, 12


@pytest.fixture
def inputs() -> tuple[Any, Any, Any]:
    import torch

    torch.manual_seed(0)
    return tuple(torch.randint(1, high, (3, LENGTH)) for high in (N_ITEMS, 10, 30))  # type: ignore[return-value]


@pytest.fixture
def model() -> Any:
    import torch

    from training.retrieval.sequence_model import SequenceModel

    torch.manual_seed(1)
    return SequenceModel(N_ITEMS).eval()


def test_future_does_not_change_the_past(model: Any, inputs: tuple[Any, Any, Any]) -> None:
    import torch

    changed = tuple(part.clone() for part in inputs)
    for part in changed:
        part[:, 8:] = 1
    before, after = model(*inputs), model(*changed)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def test_what_padding_holds_does_not_matter(model: Any, inputs: tuple[Any, Any, Any]) -> None:
    import torch

    items, actions, gaps = (part.clone() for part in inputs)
    items[:, :5] = 0
    before = model(items, actions, gaps)
    actions[:, :5], gaps[:, :5] = 3, 7
    torch.testing.assert_close(before[:, 5:], model(items, actions, gaps)[:, 5:])


def test_more_padding_changes_nothing(model: Any, inputs: tuple[Any, Any, Any]) -> None:
    import torch

    from training.retrieval.sequence_model import Encoder

    padded = tuple(torch.nn.functional.pad(part, (9, 0)) for part in inputs)
    torch.testing.assert_close(Encoder(model)(*inputs), Encoder(model)(*padded), rtol=1e-4, atol=1e-5)


def test_all_padding_gives_numbers(model: Any) -> None:
    import torch

    nothing = torch.zeros(2, LENGTH, dtype=torch.int64)
    assert torch.isfinite(model(nothing, nothing, nothing)).all()


def test_newest_place_alone_is_what_it_is_among_all(model: Any, inputs: tuple[Any, Any, Any]) -> None:
    import torch

    inputs[0][0, :4] = 0
    torch.testing.assert_close(model(*inputs, newest_only=True), model(*inputs)[:, -1:])


def test_bias_is_in_the_product(model: Any, inputs: tuple[Any, Any, Any]) -> None:
    import torch

    from training.retrieval.sequence_model import Encoder

    with torch.no_grad():
        model.bias.copy_(torch.arange(N_ITEMS))
    scores = Encoder(model)(*inputs) @ model.item_vectors().T
    plain = model(*inputs)[:, -1] @ model.items.weight[1:].T
    torch.testing.assert_close(scores - plain, torch.arange(N_ITEMS).float().expand(3, -1), rtol=1e-4, atol=1e-4)


def test_hidden_actions_are_as_if_they_were_padding_and_others_each_time(inputs: tuple[Any, Any, Any]) -> None:
    import torch

    from training.retrieval.sequence_model import SequenceModel, Shape

    torch.manual_seed(1)
    model = SequenceModel(N_ITEMS, Shape(dropout=0.0, hidden_share=0.5))
    torch.manual_seed(2)
    shown = torch.rand(inputs[0].shape) >= 0.5
    torch.manual_seed(2)
    first, second = model(*inputs), model(*inputs)
    assert not torch.allclose(first, second)
    model.eval()
    torch.testing.assert_close(first, model(inputs[0] * shown, *inputs[1:]))
    torch.testing.assert_close(model(*inputs), model(*inputs))
