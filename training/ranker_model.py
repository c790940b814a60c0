"""The ranker: a user's last actions seen with the candidate in mind, then everything crossed with everything.

After TransAct (Xia et al., KDD 2023, arXiv 2306.00248) for the history and DCN v2 (Wang et al., WWW 2021) for the
crosses. In: what `training.ranker_rows` describes, as tensors. Out: one logit per row and head.

    history row = item ⊕ action ⊕ gap ⊕ dwell → d     (no place: TransAct found none needed, and the gap tells the order)
    sequence    = a transformer over the rows, fused with the candidate in one of two ways (`Fusion`)
    x0          = sequence ⊕ candidate ⊕ user ⊕ context ⊕ numbers → crosses → MLP → one linear head per outcome
"""

from __future__ import annotations

import numpy as np
import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253 - as above

from recloop.recommend import GAP_BUCKETS
from recloop.sequences import ACTION_CODES
from training.ranker_rows import Fusion, ItemTable, RankerRows, RankerShape, RankerSizes
from training.sequence_model import MASKED, Block, Shape

NUMBER_LIMIT = 10.0
"""Standard deviations: a number farther out than this is as good as at it, so that an outlier or an infinity is no
gradient of its own."""

ID_STD, CODE_STD = 0.02, 0.05
"""Ids start small: what an item's codes say comes first, what is its own is learned where rows bear it out."""


class FieldTables(nn.Module):
    """One table per field of codes; a code that its table lacks counts as 0, unknown."""

    def __init__(self, n_codes: tuple[int, ...], n_dimensions: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, n_dimensions) for n in n_codes)
        self.n_codes = n_codes
        for table in self.tables:
            nn.init.normal_(table.weight, std=CODE_STD)

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
        self.ids = nn.Embedding(n_rows, n_dimensions)
        nn.init.normal_(self.ids.weight, std=ID_STD)
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
        self.actions = nn.Embedding(len(ACTION_CODES) + 1, half)
        self.gaps, self.dwells = nn.Embedding(GAP_BUCKETS, half), nn.Embedding(GAP_BUCKETS, half)
        for table in (self.actions, self.gaps, self.dwells):
            nn.init.normal_(table.weight, std=CODE_STD)
        self.merge = nn.Linear(d + 3 * half, d)

    def forward(self, items: Tensor, actions: Tensor, gaps: Tensor, dwells: Tensor) -> Tensor:
        """Return [requests, length, d]; `items` are embedded already."""
        parts = [items, self.actions(actions), self.gaps(gaps), self.dwells(dwells)]
        merged: Tensor = self.merge(torch.cat(parts, dim=-1))
        return merged


class Transformer(nn.Module):
    """Blocks over rows of which each sees all known ones; unknown rows are 0 on both sides."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        block = Shape(n_dimensions=shape.n_dimensions, n_heads=shape.n_attention_heads, dropout=shape.dropout)
        self.blocks = nn.ModuleList(Block(block) for _ in range(shape.n_layers))
        self.last_norm = nn.LayerNorm(shape.n_dimensions)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Return [batch, length, d]."""
        x = self.dropout(x) * known[:, :, None]
        mask = (~known[:, None, None, :]).to(x.dtype) * MASKED
        for block in self.blocks:
            x = block(x, mask)
        normed: Tensor = self.last_norm(x) * known[:, :, None]
        return normed


class ConcatFusion(nn.Module):
    """The candidate joins every row before the transformer; out come the newest rows and the maximum over all.

    Concatenating and then projecting is adding two projections, and the history's was made once per request.
    """

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        self.n_newest, self.n_outputs = shape.n_newest, (shape.n_newest + 1) * shape.n_dimensions
        self.join = nn.Linear(shape.n_dimensions, shape.n_dimensions, bias=False)
        self.transformer = Transformer(shape)

    def encode(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return what can be had without the candidate: the rows as they are."""
        return rows

    def forward(self, rows: Tensor, known: Tensor, request: Tensor, candidate: Tensor) -> Tensor:
        """Return [n, n_outputs]."""
        own = known[request]
        x = self.transformer(rows[request] + self.join(candidate)[:, None], own)
        return torch.cat([newest(x, self.n_newest), maximum(x, own)], dim=1)


class CrossFusion(nn.Module):
    """The history is encoded once per request, each candidate asks it; out come the answer and the maximum over all."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        self.n_outputs = 2 * shape.n_dimensions
        self.transformer = Transformer(shape)
        self.ask = CrossBlock(shape)

    def encode(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return the encoded rows, [requests, length, d]."""
        encoded: Tensor = self.transformer(rows, known)
        return encoded

    def forward(self, rows: Tensor, known: Tensor, request: Tensor, candidate: Tensor) -> Tensor:
        """Return [n, n_outputs]."""
        return torch.cat([self.ask(candidate, rows, known, request), maximum(rows, known)[request]], dim=1)


class CrossBlock(nn.Module):
    """Attention from a candidate to the rows of its request, and a feed-forward part, each added to its input."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        d = shape.n_dimensions
        self.n_heads = shape.n_attention_heads
        self.query_norm, self.forward_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.to_query, self.to_pair, self.to_output = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.widen, self.narrow = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, candidate: Tensor, rows: Tensor, known: Tensor, request: Tensor) -> Tensor:
        """Return [n, d]."""
        n_requests, _, d = rows.shape
        width = d // self.n_heads
        # A row of zeros before all others: where a candidate looks when the history has nothing like it, or nothing.
        rows = torch.cat([rows.new_zeros(n_requests, 1, d), rows], dim=1)
        known = torch.cat([known.new_ones(n_requests, 1), known], dim=1)
        mask = (~known[:, None, None, :]).to(rows.dtype) * MASKED
        pair = self.to_pair(rows).reshape(n_requests, -1, 2, self.n_heads, width)
        key, value = pair.permute(2, 0, 3, 1, 4).unbind(0)
        query = self.to_query(self.query_norm(candidate)).reshape(-1, self.n_heads, 1, width)
        scores = query @ key[request].transpose(-1, -2) / width**0.5 + mask[request]
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ value[request]
        x = candidate + self.dropout(self.to_output(mixed.reshape(-1, d)))
        change: Tensor = self.dropout(self.narrow(nn.functional.gelu(self.widen(self.forward_norm(x)))))
        return x + change


class MeanPool(nn.Module):
    """The mean of the known rows: what the transformer has to beat."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        self.n_outputs = shape.n_dimensions

    def encode(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return the mean, [requests, 1, d]; zeros without a known row."""
        total = (rows * known[:, :, None]).sum(dim=1, keepdim=True)
        return total / known.sum(dim=1).clamp(min=1)[:, None, None]

    def forward(self, rows: Tensor, known: Tensor, request: Tensor, candidate: Tensor) -> Tensor:
        """Return [n, d]."""
        return rows[request, 0]


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

    def __init__(self, sizes: RankerSizes, shape: RankerShape = RankerShape()) -> None:
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
        self.sequence = _sequence_part(shape) if shape.use_sequence else None
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

    def tables(self) -> list[nn.Parameter]:
        """Return the embeddings of ids and codes that many rows must bear out before they are believed."""
        return [self.items.ids.weight, *self.items.fields.parameters(), *self.users.parameters()]

    def _user_part(self, codes: Tensor) -> list[Tensor]:
        if self.merge_user is None:
            return []
        return [self.merge_user(self.dropout(torch.cat(self.users(codes), dim=1)))]

    def _standardised(self, numbers: Tensor) -> Tensor:
        x = (numbers - self.number_mean) / self.number_scale
        return torch.where(x.isnan(), 0.0, x).clamp(-NUMBER_LIMIT, NUMBER_LIMIT)


def newest(x: Tensor, n: int) -> Tensor:
    """Return the last n rows side by side, [batch, n * d]; zeros stand for rows that a short history lacks."""
    padded = torch.cat([x.new_zeros(x.shape[0], n, x.shape[2]), x], dim=1)
    return padded[:, -n:].flatten(1)


def maximum(x: Tensor, known: Tensor) -> Tensor:
    """Return the maximum over known rows, [batch, d]; zeros without one."""
    most = x.masked_fill(~known[:, :, None], MASKED).amax(dim=1)
    return torch.where(known.any(dim=1)[:, None], most, 0.0)


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
    """Return mean and standard deviation of what is finite in each column; 0 and 1 where that is nothing or one value."""
    finite = np.isfinite(numbers)
    n = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, numbers, 0.0).sum(axis=0, dtype=np.float64) / n
    spread = np.sqrt(np.where(finite, numbers - mean, 0.0).__pow__(2).sum(axis=0, dtype=np.float64) / n)
    return mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)


def _sequence_part(shape: RankerShape) -> ConcatFusion | CrossFusion | MeanPool:
    if not shape.use_transformer:
        return MeanPool(shape)
    return ConcatFusion(shape) if shape.fusion is Fusion.CONCAT else CrossFusion(shape)


def _perceptron(width: int, shape: RankerShape) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in shape.hidden:
        layers += [nn.Linear(width, n), nn.ReLU(), nn.Dropout(shape.dropout)]
        width = n
    return nn.Sequential(*layers)
