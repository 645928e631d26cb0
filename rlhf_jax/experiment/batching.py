"""A stage's batches: what it reads, encoded, ordered, laid out over a mesh."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from rlhf_jax import processes, sharding
from rlhf_jax.data import orders, packing
from rlhf_jax.data.batches import Batches
from rlhf_jax.experiment import encoded_datasets, kept_features, reference_logps
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.learners.reward import head
from rlhf_jax.stages import names
from rlhf_jax.types import Models, WithExtra

COMPARED_EVERY = 50  # Steps between two looks at whether batches are one.


@dataclasses.dataclass(frozen=True)
class MeshBatches:
  """Batches by step, each laid out over the mesh, with one of extra data."""

  own: Batches
  extra: Batches | None
  mesh: jax.sharding.Mesh

  def starting_at(self, step: int) -> Iterator[Any]:
    """The batches of `step`, `step + 1`, …"""
    own = self._placed(self.own, step)
    if self.extra is None:
      return own
    return map(WithExtra, own, self._placed(self.extra, step))

  def _placed(self, batches: Batches, step: int) -> Iterator[Any]:
    for at, rows in enumerate(batches.starting_at(step), step):
      if at % COMPARED_EVERY == 0:
        order = batches.indices(at).tobytes()
        processes.check_same(f'batch at step {at}', order)
      yield sharding.place_rows(rows, batches.batch_size, self.mesh)


def batches_of(
  run: Run, name: str, data: Data, own: Callable[[], Any], models: Models
) -> tuple[MeshBatches, dict[str, Any], dict[str, Any]]:
  """A stage's batches, and what was cut or left out of what it reads.

  Log-probs of the reference that are computed once come with the batches; so do
  features of a trunk that stays. The third is {'features': how these spread}.
  """
  stage = run.experiment.stages[name]
  records = data.records(stage.data)

  def batches(examples, size, purpose, **options):
    return Batches(
      examples,
      batch_size=size,
      seed=int(jax.random.bits(run.key(f'{name} {purpose}')) >> 1),
      pad_id=data.corpus.tokenizer.pad_id,
      limits=run.experiment.limits,
      rows=sharding.local_rows(run.mesh, size),
      steps=stage.config.steps,
      **options,
    )

  examples, counts = encoded_datasets.learnable(run, name, records, data)
  if stage.precompute is not None:
    examples = reference_logps.attach(run, name, examples, own, models)
  spread = {}
  if stage.features is not None:
    examples = kept_features.attach(run, name, examples, own, models, data)
    spread['features'] = head.spread([e.features for e in examples])
  facts, extra = run.tell_counts(name, counts), None
  row_length = getattr(stage.config, 'row_length', None)
  if row_length is not None:
    examples = packing.pack(examples, row_length)
  levels, size = stage.curriculum, stage.config.batch_size
  if stage.mixture is not None:
    sizes = {of: len(run.data.records(of)) for of in names(stage.data)}
    count = size * stage.config.steps
    levels = stage.mixture.placed(examples, sizes, count)
  rows = batches(
    examples,
    size,
    'order',
    order=stage.order or orders.at_random,
    curriculum=levels,
    records=len(records) if stage.collect else None,
  )
  if stage.extra_data is not None:
    extra_records = data.records(stage.extra_data)
    examples, counts = encoded_datasets.learnable(
      run, name, extra_records, data
    )
    extra = batches(examples, stage.config.extra_batch_size, 'order beside')
    left_out = run.tell_counts(f'{name}: {stage.extra_data}', counts)
    facts |= {f'{stage.extra_data}_{k}': v for k, v in left_out.items()}
  return MeshBatches(rows, extra, run.mesh), facts, spread
