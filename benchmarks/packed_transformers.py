"""RecTools' SASRec and BERT4Rec as they are, trained without spending time on padding.

RecTools pads every history to the longest that is allowed and scores the whole catalogue at every place, padding too:
with eight events of fifty that is six times the work. Here a batch is as long as its longest history, histories of
like length share a batch, and the loss looks at places with a target only. The models, their positions (counted from
the end) and their data are those of RecTools; padding is hidden from attention, so its amount changes nothing.

The loss is the softmax over the whole catalogue, or over the target and negatives drawn at random for the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.data_preparator import SequenceDataset
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler

PACKED_SOFTMAX = "packed_softmax"  # not a loss of RecTools, so that it asks ours
BATCHES_SORTED = 50  # among so many batches' histories, those of like length come together


class LengthBatches(Sampler[list[int]]):
    """Batches in a new random order each time, each of histories of about the same length."""

    def __init__(self, lengths: list[int], size: int) -> None:
        self._lengths = torch.tensor(lengths)
        self._size = size

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for part in torch.randperm(len(self._lengths)).split(self._size * BATCHES_SORTED):
            batches += part[self._lengths[part].argsort()].split(self._size)
        for place in torch.randperm(len(batches)).tolist():
            yield batches[place].tolist()


def cut_padding(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch without the places at its beginning where no history has an item."""
    first = int((batch["x"] != 0).any(dim=0).int().argmax())
    return {name: values[:, first:] for name, values in batch.items()}


class _Packed:
    """What both data preparators share: batches by length, without padding that none needs."""

    def get_dataloader_train(self) -> DataLoader:
        sequences = SequenceDataset.from_interactions(self.train_dataset.interactions.df)
        batches = LengthBatches([len(session) for session in sequences.sessions], self.batch_size)
        return DataLoader(sequences, collate_fn=self._collate_fn_train, batch_sampler=batches)

    def _collate_fn_train(self, batch: list) -> dict[str, torch.Tensor]:
        return cut_padding(super()._collate_fn_train(batch))

    def _collate_fn_recommend(self, batch: list) -> dict[str, torch.Tensor]:
        return cut_padding(super()._collate_fn_recommend(batch))


class PackedSASRecPreparator(_Packed, SASRecDataPreparator):
    """Every next item is a target."""


class PackedBERT4RecPreparator(_Packed, BERT4RecDataPreparator):
    """Items masked at random are targets."""


class PackedModule(TransformerLightningModule):
    """The loss of the places that have a target. `n_negatives` 0 takes the whole catalogue."""

    def __init__(self, *arguments, n_negatives: int = 0, **options) -> None:
        super().__init__(*arguments, **options)
        self.n_negatives = n_negatives

    def _calc_custom_loss(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        items = self.torch_model.item_model.get_all_embeddings()
        hidden = self.torch_model.encode_sessions(batch, items)
        is_target = batch["y"] != 0
        queries, targets = hidden[is_target], batch["y"][is_target]
        if not len(targets):  # a batch of masked sessions may hold no mask
            return hidden.sum() * 0.0
        n_extra = len(self.item_extra_tokens)
        if not self.n_negatives:
            return functional.cross_entropy(queries @ items[n_extra:].T, targets - n_extra)
        return sampled_softmax(queries, targets, items, torch.randint(n_extra, len(items), (self.n_negatives,)))


def sampled_softmax(
    queries: torch.Tensor, targets: torch.Tensor, items: torch.Tensor, negatives: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of each target against the same negatives (n_negatives,); a negative that is the target is out."""
    own = (queries * items[targets]).sum(dim=-1, keepdim=True)
    others = queries @ items[negatives].T
    others = others.masked_fill(targets[:, None] == negatives, float("-inf"))
    return functional.cross_entropy(torch.cat([own, others], dim=1), torch.zeros_like(targets))
