"""How a ranker reads a history with a candidate in mind: two ways to fuse them, and the mean that both have to beat.

Each part has `encode`, for what no candidate changes, once per request; and `forward`, once per candidate. `rows` are
[requests, length, d], `known` [requests, length] is false for padding and for what the time-window mask hides.
"""

from __future__ import annotations

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from torch import Tensor, nn  # noqa: TID253 - as above

from training.ranker.rows import Fusion, RankerShape
from training.retrieval.sequence_model import MASKED, Block, Shape


class Transformer(nn.Module):
    """Blocks over rows of which each sees all known ones; unknown rows come out as 0."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        block = Shape(n_dimensions=shape.n_dimensions, n_heads=shape.n_attention_heads, dropout=shape.dropout)
        self.blocks = nn.ModuleList(Block(block) for _ in range(shape.n_layers))
        self.last_norm = nn.LayerNorm(shape.n_dimensions)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Return [batch, length, d]."""
        x = self.dropout(x)
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
        x: Tensor = candidate + self.dropout(self.to_output(mixed.reshape(-1, d)))
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


def newest(x: Tensor, n: int) -> Tensor:
    """Return the last n rows side by side, [batch, n * d]; zeros stand for rows that a short history lacks."""
    padded = torch.cat([x.new_zeros(x.shape[0], n, x.shape[2]), x], dim=1)
    return padded[:, -n:].flatten(1)


def maximum(x: Tensor, known: Tensor) -> Tensor:
    """Return the maximum over known rows, [batch, d]; zeros without one."""
    most = x.masked_fill(~known[:, :, None], MASKED).amax(dim=1)
    return torch.where(known.any(dim=1)[:, None], most, 0.0)


def sequence_part(shape: RankerShape) -> ConcatFusion | CrossFusion | MeanPool:
    """Return the part that a shape asks for."""
    if not shape.use_transformer:
        return MeanPool(shape)
    return ConcatFusion(shape) if shape.fusion is Fusion.CONCAT else CrossFusion(shape)
