"""What a report has to warn of: doubts, alarms, and what was left out."""

from collections.abc import Sequence

from rlhf_jax.data import names
from rlhf_jax.data.encoding import Counts
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import Experiment, policy_variants
from rlhf_jax.experiment.measuring_pairs import (
  decided,
  held_out,
  measured_rewards,
)
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.types import prompt_of

# Facts of a stage that say what became of its data.
COUNTED = (*Counts._fields, 'unscored_responses')
SHARES = (
  ('unscored_share', 'of responses unscored'),
  ('undecided_share', 'of pairs without a verdict'),
)


def warnings(
  experiment: Experiment, data: Data, names: Sequence[str] | None = None
) -> list[str]:
  """What is doubtful about the conditions that policies answer on.

  Args:
    experiment: whose policies.
    data: its datasets.
    names: of the policies and variants that are looked at; all by default.
  """
  found = []
  for name, variant in policy_variants(experiment).items():
    if variant.condition is None or (names and name not in names):
      continue
    stage = experiment.stages.get(variant.policy)
    records = () if stage is None else data.records(stage.data)
    seen = sorted({prompt_of(record).condition for record in records})
    warning = variant.condition.warning(seen)
    if warning:
      found.append(f'{name}: {warning}')
  return found


def alarms(run: Run) -> list[str]:
  """What looked wrong while stages trained, a line for each that did."""
  said = {n: run.folders[n].facts().get('alarm') for n in run.experiment.stages}
  return [f'Warning of {n}: {alarm}' for n, alarm in said.items() if alarm]


def left_out(run: Run) -> list[str]:
  """What stages cut, left out or could not score, a line for each that did."""
  found = []
  for name, stage in run.experiment.stages.items():
    facts = run.folders[name].facts()
    extra = getattr(stage, 'extra_data', None)
    counted = [*COUNTED, *(f'{extra}_{k}' for k in COUNTED if extra)]
    said = names.amounts({k: facts.get(k) for k in counted})
    said += [f'{facts[k]:.1%} {words}' for k, words in SHARES if facts.get(k)]
    if said:
      found.append(f'Cut or left out by {name}: {", ".join(said)}.')
  return found


def left_out_of_evaluation(run: Run) -> list[str]:
  """What is cut or not measured of the held-out datasets, a line for each."""
  how, data = run.experiment.evaluation, run.data
  asked = list(map(prompt_of, data.records(how.prompts)[: how.count]))
  found = {how.prompts: data.encode_all(asked)[1]}
  rewards = dict.fromkeys(how.fitted_rewards) | measured_rewards(run.experiment)
  for name, reward in rewards.items():
    dataset = how.pairs_of(name)
    if dataset is not None and dataset not in found:
      own = run.trained.read_by(data, reward, 'reward')
      found[dataset] = decided(own, held_out(run, dataset))[1]
  if how.demonstrations:
    answered = data.records(how.demonstrations)[: how.held_out]
    found[how.demonstrations] = data.encode_all(answered)[1]
  said = {
    name: names.amounts(counts._asdict()) for name, counts in found.items()
  }
  return [
    f'Cut or left out of {name}: {", ".join(words)}.'
    for name, words in said.items()
    if words
  ]
