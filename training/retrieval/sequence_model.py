"""The transformer over a user's last actions: causal, pre-norm, one vector per position.

An input row is item + action + age bucket, as `recloop.histories` makes them; the score of an item is
the dot product of a position's vector with the item's embedding plus its bias (folded into one more dimension, so that
retrieval is one matrix product). After SASRec (Kang and McAuley 2018) with the whole-catalogue loss that gSASRec and
eSASRec found to matter most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from torch import Tensor, nn  # noqa: TID253 - as above

from recloop.histories import GAP_BUCKETS
from recloop.sequences import ACTION_CODES, MAX_ACTIONS

MASKED = -1e9
"""Finite, so that a row of nothing but padding stays a number."""


@dataclass(frozen=True)
class Shape:
    """Size of a model; `max_length` is the most actions it reads.

    `hidden_share` of the actions is hidden in training, anew in every step, so that no one of them is relied upon.
    """

    n_dimensions: int = 64
    n_layers: int = 2
    n_heads: int = 2
    dropout: float = 0.1
    hidden_share: float = 0.0
    max_length: int = MAX_ACTIONS


class Block(nn.Module):
    """Self-attention and a feed-forward part, each after a norm and added to its input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.n_dimensions
        self.n_heads = shape.n_heads
        self.attention_norm, self.forward_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.to_parts = nn.Linear(d, 3 * d)
        self.to_output = nn.Linear(d, d)
        self.widen = nn.Linear(d, 4 * d)
        self.narrow = nn.Linear(4 * d, d)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, mask: Tensor, *, newest_only: bool = False) -> Tensor:
        """Return [batch, length, d], or [batch, 1, d] of the newest place; `mask` is added to the attention scores."""
        batch, length, d = x.shape
        parts = self.to_parts(self.attention_norm(x)).reshape(batch, length, 3, self.n_heads, d // self.n_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        if newest_only:
            x, query, mask = x[:, -1:], query[:, :, -1:], mask[:, :, -1:]
        scores = query @ key.transpose(-1, -2) / (d // self.n_heads) ** 0.5 + mask
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ value
        x = x + self.dropout(self.to_output(mixed.transpose(1, 2).flatten(2)))
        change: Tensor = self.dropout(self.narrow(nn.functional.gelu(self.widen(self.forward_norm(x)))))
        return x + change


class SequenceModel(nn.Module):
    """Embeddings, blocks, and the item table that also scores; seed torch before it is made."""

    def __init__(self, n_items: int, shape: Shape = Shape()) -> None:
        super().__init__()
        d, self.hidden_share = shape.n_dimensions, shape.hidden_share
        # Row 0 is padding everywhere; item i is row i + 1.
        self.items = nn.Embedding(n_items + 1, d)
        self.actions = nn.Embedding(len(ACTION_CODES) + 1, d)
        self.gaps = nn.Embedding(GAP_BUCKETS, d)
        self.places = nn.Embedding(shape.max_length, d)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layers))
        self.last_norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(shape.dropout)
        for table in (self.items, self.actions, self.gaps, self.places):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, items: Tensor, actions: Tensor, gaps: Tensor, *, newest_only: bool = False) -> Tensor:
        """Return [batch, length, d]: at each position what comes next, from it and what lies before it.

        With `newest_only` it is that of the last position alone, [batch, 1, d], for half of the last block's work.
        """
        length = items.shape[1]
        # Counted from the newest, so that a shorter window means the same at every place.
        places = torch.arange(length, device=items.device).flip(0)
        x = self.items(items) + self.actions(actions) + self.gaps(gaps) + self.places(places)
        known = (items > 0).to(x.dtype)
        if self.training and self.hidden_share:
            known = known * (torch.rand_like(known) >= self.hidden_share)
        x = self.dropout(x) * known[:, :, None]
        causal = torch.ones(length, length, device=items.device, dtype=x.dtype).tril()
        mask = (1 - causal[None, None] * known[:, None, None, :]) * MASKED
        for place, block in enumerate(self.blocks, start=1):
            x = block(x, mask, newest_only=newest_only and place == len(self.blocks))
        normed: Tensor = self.last_norm(x)
        return normed

    def item_vectors(self) -> Tensor:
        """Return [n_items, d + 1]; the last column is the bias."""
        return torch.cat([self.items.weight[1:], self.bias[:, None]], dim=1)


class Encoder(nn.Module):
    """(items, actions, gaps) → [batch, d + 1]: the last position's vector and a 1 for the bias."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, items: Tensor, actions: Tensor, gaps: Tensor) -> Tensor:
        """Return one vector per sequence."""
        last = self.model(items, actions, gaps, newest_only=True)[:, -1]
        return torch.cat([last, torch.ones_like(last[:, :1])], dim=1)
