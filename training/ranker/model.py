"""The ranker: a user's last actions seen with the candidate in mind, then everything crossed with everything.

After TransAct (Xia et al., KDD 2023, arXiv 2306.00248) for the history and DCN v2 (Wang et al., WWW 2021) for the
crosses. In: what `training.ranker.rows` describes, as tensors. Out: one logit per row and head.

    row      = item ⊕ action ⊕ gap ⊕ dwell → d        (no place, as in TransAct: the gap tells the order)
    sequence = a transformer over the rows, fused with the candidate in one of two ways (training.ranker.fusion)
    x0       = sequence ⊕ candidate ⊕ user ⊕ context ⊕ numbers → crosses → MLP → one linear head per outcome
"""

from __future__ import annotations

import numpy as np
import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253 - as above

from recloop.histories import GAP_BUCKETS
from recloop.sequences import ACTION_CODES
from training.ranker.fusion import sequence_part
from training.ranker.rows import ItemTable, RankerRows, RankerShape, RankerSizes

NUMBER_LIMIT = 10.0
"""Standard deviations: a number farther out than this is as good as at it, so that an outlier or an infinity is no
gradient of its own."""

ID_STD, CODE_STD = 0.02, 0.05
"""Ids start small: what an item's codes say comes first, what is its own is learned where rows bear it out."""


class FieldTables(nn.Module):
    """One table per field of codes; a code that its table lacks counts as 0, unknown."""

    def __init__(self, n_codes: tuple[int, ...], n_dimensions: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(_table(n, n_dimensions, CODE_STD) for n in n_codes)
        self.n_codes = n_codes

    def forward(self, codes: Tensor) -> list[Tensor]:
        """Return an embedding [..., d] per field of codes [..., fields]."""
        fields = codes.unbind(-1) if self.n_codes else ()
        return [
            table(torch.where(field < n, field, 0))
            for table, field, n in zip(self.tables, fields, self.n_codes, strict=True)
        ]


class ItemEmbedding(nn.Module):
    """An item's own vector + those of its codes + its pretrained vector, projected; history and candidate share it."""

    codes: Tensor
    vectors: Tensor

    def __init__(self, sizes: RankerSizes, n_dimensions: int) -> None:
        super().__init__()
        n_rows = sizes.n_items + 1
        self.ids = _table(n_rows, n_dimensions, ID_STD)
        self.fields = FieldTables(sizes.item_codes, n_dimensions)
        self.register_buffer("codes", torch.zeros(n_rows, len(sizes.item_codes), dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(n_rows, sizes.n_vector_dimensions))
        self.project = (
            nn.Linear(sizes.n_vector_dimensions, n_dimensions, bias=False) if sizes.n_vector_dimensions else None
        )

    def forward(self, items: Tensor) -> Tensor:
        """Return [..., d] of item rows [...]."""
        x: Tensor = self.ids(items)
        for part in self.fields(self.codes[items]):
            x = x + part
        return x if self.project is None else x + self.project(self.vectors[items])


class HistoryEmbedding(nn.Module):
    """One vector per action of a history."""

    def __init__(self, n_dimensions: int) -> None:
        super().__init__()
        d, half = n_dimensions, n_dimensions // 2
        self.actions = _table(len(ACTION_CODES) + 1, half, CODE_STD)
        self.gaps, self.dwells = _table(GAP_BUCKETS, half, CODE_STD), _table(GAP_BUCKETS, half, CODE_STD)
        self.merge = nn.Linear(d + 3 * half, d)

    def forward(self, items: Tensor, actions: Tensor, gaps: Tensor, dwells: Tensor) -> Tensor:
        """Return [requests, length, d]; `items` are embedded already."""
        parts = [items, self.actions(actions), self.gaps(gaps), self.dwells(dwells)]
        merged: Tensor = self.merge(torch.cat(parts, dim=-1))
        return merged


class Crosses(nn.Module):
    """Full-rank crosses: each layer multiplies what it has by the input once more."""

    def __init__(self, width: int, shape: RankerShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.n_crosses))
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x0: Tensor) -> Tensor:
        """Return [n, width]."""
        x = x0
        for layer in self.layers:
            x = x0 * self.dropout(layer(x)) + x
        return x


class RankerModel(nn.Module):
    """Embeddings, sequence, crosses and heads; seed torch before it is made, and see `new_ranker`."""

    number_mean: Tensor
    number_scale: Tensor

    def __init__(self, sizes: RankerSizes, shape: RankerShape) -> None:
        super().__init__()
        self.sizes, self.shape = sizes, shape
        d = shape.n_dimensions
        self.items = ItemEmbedding(sizes, d)
        self.users = FieldTables(sizes.user_codes, d // 4)
        self.merge_user = nn.Linear(len(sizes.user_codes) * (d // 4), d) if sizes.user_codes else None
        self.contexts = FieldTables(sizes.context_codes, d // 2)
        self.register_buffer("number_mean", torch.zeros(sizes.n_numbers))
        self.register_buffer("number_scale", torch.ones(sizes.n_numbers))
        self.history = HistoryEmbedding(d) if shape.use_sequence else None
        self.sequence = sequence_part(shape) if shape.use_sequence else None
        width = d + (d if sizes.user_codes else 0) + len(sizes.context_codes) * (d // 2) + sizes.n_numbers
        width += self.sequence.n_outputs if self.sequence is not None else 0
        self.crosses = Crosses(width, shape) if shape.use_crosses else nn.Identity()
        self.deep = _perceptron(width, shape)
        self.heads = nn.Linear(width + shape.hidden[-1], sizes.n_heads)
        self.dropout = nn.Dropout(shape.dropout)

    def encode(
        self, items: Tensor, actions: Tensor, gaps: Tensor, dwells: Tensor, youngest: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return each request's rows [requests, length, d] and which of them are known: all that no candidate changes.

        Args:
            items: int64 [requests, length], as the other three.
            actions: codes of `recloop.sequences`.
            gaps: age buckets.
            dwells: buckets of the time spent.
            youngest: int64 [requests], hides every action in a lower gap bucket (training's time-window mask).
        """
        known = items > 0
        if youngest is not None:
            known = known & (gaps >= youngest[:, None])
        if self.history is None or self.sequence is None:
            return self.number_mean.new_zeros(len(items), 1, 0), known
        rows = self.history(self.items(items), actions, gaps, dwells)
        return self.sequence.encode(rows, known), known

    def score(
        self,
        rows: Tensor,
        known: Tensor,
        request: Tensor,
        candidate: Tensor,
        user_codes: Tensor,
        context_codes: Tensor,
        numbers: Tensor,
    ) -> Tensor:
        """Return logits [n, heads] of candidates, given what `encode` returned; `request` is a row of that."""
        item = self.items(candidate)
        parts = [item, *self._user_part(user_codes), *self.contexts(context_codes), self._standardised(numbers)]
        if self.sequence is not None:
            parts = [self.sequence(rows, known, request, item), *parts]
        x = self.crosses(torch.cat(parts, dim=1))
        logits: Tensor = self.heads(torch.cat([x, self.deep(x)], dim=1))
        return logits

    def forward(
        self,
        items: Tensor,
        actions: Tensor,
        gaps: Tensor,
        dwells: Tensor,
        request: Tensor,
        candidate: Tensor,
        user_codes: Tensor,
        context_codes: Tensor,
        numbers: Tensor,
        youngest: Tensor | None = None,
    ) -> Tensor:
        """Return logits [n, heads]; the first four are of requests, the others of rows."""
        rows, known = self.encode(items, actions, gaps, dwells, youngest)
        return self.score(rows, known, request, candidate, user_codes, context_codes, numbers)

    def tables(self) -> list[Tensor]:
        """Return the embeddings of ids and codes that many rows must bear out before they are believed."""
        return [self.items.ids.weight, *self.items.fields.parameters(), *self.users.parameters()]

    def _user_part(self, codes: Tensor) -> list[Tensor]:
        if self.merge_user is None:
            return []
        return [self.merge_user(self.dropout(torch.cat(self.users(codes), dim=1)))]

    def _standardised(self, numbers: Tensor) -> Tensor:
        x = (numbers - self.number_mean) / self.number_scale
        return torch.where(x.isnan(), 0.0, x).clamp(-NUMBER_LIMIT, NUMBER_LIMIT)


def new_ranker(rows: RankerRows, items: ItemTable, shape: RankerShape) -> RankerModel:
    """Return an untrained model that knows the catalogue, the scale of the numbers and the base rate of each head."""
    model = RankerModel(RankerSizes.of(rows, items), shape)
    mean, scale = _mean_and_scale(rows.numbers)
    known = ~np.isnan(rows.labels)
    rates = (np.nansum(rows.labels, axis=0) + 0.5) / (known.sum(axis=0) + 1.0)
    with torch.no_grad():
        model.items.codes.copy_(torch.as_tensor(items.codes.astype(np.int64)))
        if items.vectors is not None:
            # Their scale is the other model's own business.
            size = float(np.sqrt(np.mean(items.vectors[1:].astype(np.float64) ** 2))) if len(items.vectors) > 1 else 0.0
            model.items.vectors.copy_(torch.as_tensor(items.vectors / (size or 1.0)))
        model.number_mean.copy_(torch.as_tensor(mean))
        model.number_scale.copy_(torch.as_tensor(scale))
        model.heads.bias.copy_(torch.as_tensor(np.log(rates / (1 - rates))))
    return model


def _mean_and_scale(numbers: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of what is finite in each column; a column without a spread gets 1 for it."""
    finite = np.isfinite(numbers)
    n = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, numbers, 0.0).sum(axis=0, dtype=np.float64) / n
    spread = np.sqrt(np.square(np.where(finite, numbers, mean) - mean).sum(axis=0) / n)
    return mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)


def _table(n: int, n_dimensions: int, std: float) -> nn.Embedding:
    table = nn.Embedding(n, n_dimensions)
    nn.init.normal_(table.weight, std=std)
    return table


def _perceptron(width: int, shape: RankerShape) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in shape.hidden:
        layers += [nn.Linear(width, n), nn.ReLU(), nn.Dropout(shape.dropout)]
        width = n
    return nn.Sequential(*layers)
