"""Write a small ranker as ONNX, as training writes one, with weights of chance: run by the core environment.

Run: python -m tests.serving.ranker_graph N_ITEMS SEED FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from recloop.labels import Head
from recloop.ranker import CONTEXT_CODES, USER_CODES
from recloop.ranking import RANKING_FEATURES
from training.ranker.rows import RankerShape, RankerSizes
from training.ranker.scoring import export_ranker


def main(n_items: int, seed: int, path: Path) -> None:
    import torch

    from training.ranker.model import RankerModel

    torch.manual_seed(seed)
    users, contexts = len(USER_CODES), len(CONTEXT_CODES)
    sizes = RankerSizes(
        n_items, 0, (), (3,) * users, (25,) * contexts, len(RANKING_FEATURES) - users - contexts, len(Head)
    )
    model = RankerModel(sizes, RankerShape(n_dimensions=8, hidden=(16,)))
    # Large enough for a history to move a score.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    export_ranker(model, path)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
