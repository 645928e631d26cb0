"""Measuring what the stages made: every policy, and every reward model."""

import contextlib
import functools
import math
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.evaluation import (
  claims,
  findings,
  judges,
  likelihoods,
  preference_accuracy,
  report,
  summary,
)
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.experiment import notes
from rlhf_jax.experiment.answering import logps_of, reward_name
from rlhf_jax.experiment.answers import answer
from rlhf_jax.experiment.definition import (
  Experiment,
  policy_variants,
)
from rlhf_jax.experiment.measuring_pairs import (
  held_out,
  measure_pairs,
  measure_reward_models,
  shortest_first,
)
from rlhf_jax.experiment.ordering import reason_for_random
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.pretrained import with_text_rewards
from rlhf_jax.experiment.text_reading import of_batches
from rlhf_jax.feedback import scoring
from rlhf_jax.losses import objective as objectives
from rlhf_jax.stages import Stage, producing
from rlhf_jax.training import metrics
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted, override
from rlhf_jax.types import (
  Mean,
  Reward,
)


def measure(
  run: Run,
  out: pathlib.Path,
  *,
  made: Sequence[str] = (),
  stages: Sequence[str] = (),
) -> report.Results:
  """Samples and scores every policy; writes the results.

  Args:
    run: whose stages are done.
    out: folder of the results.
    made: lines on how the run was made, for its report.
    stages: a line on each stage, likewise.
  """
  experiment = run.experiment
  how, names = experiment.evaluation, list(policy_variants(experiment))
  run.tell('evaluation', f'{", ".join(names)} on {how.prompts}')
  uncounted = notes.left_out_of_evaluation(run)
  doubts = notes.warnings(experiment, run.data)
  for line in (*uncounted, *doubts):
    run.tell('warning', line)
  samples = {name: answer(run, name) for name in names}
  known = {
    'doubts': [*uncounted, *doubts],
    'made': made,
    'stages': stages,
    'reward_models': measure_reward_models(run, samples),
    'held_out': measure_preferences(run),
    'likelihoods': measure_likelihoods(run),
  }
  width = progress.width(run.console)
  return processes.by_first(
    lambda: report.write(out, _findings(run, samples, **known), width=width)
  )


def _findings(run, samples, *, doubts, **known):
  """What a report tells, of answers that a judge may have to compare."""
  experiment, corpus = run.experiment, run.corpus
  how = experiment.evaluation
  judge = how.judge and judges.asked_once(how.judge, out=run.console)
  curves, rewards = learning_curves(run), learnt_from(experiment)
  return findings.Findings(
    title=experiment.title,
    seed=experiment.seed,
    background=experiment.background,
    policies=summary.summarise(
      samples,
      against=how.against,
      judge=judge,
      gold=gold_name(corpus.gold),
      learnt_from=rewards,
    ),
    samples=samples,
    contrasts={
      claim: claims.contrast([samples], *pair, judge)
      for claim, pair in experiment.contrasts.items()
    },
    curves=curves,
    reward_curves=reward_curves(curves),
    fitted_rewards=tuple(how.fitted_rewards),
    learnt_from=rewards,
    notes=[
      *notes.alarms(run),
      *corpus.notes,
      *notes.left_out(run),
      *doubts,
    ],
    **known,
  )


def gold_name(gold: Reward | None) -> str | None:
  """What reports call a gold reward of a user's own; None of the library's."""
  name = None if gold is None else scoring.named(gold)
  return None if name is None or name.startswith('rlhf_jax.') else name


def learnt_from(experiment: Experiment) -> dict[str, str]:
  """{policy: the reward that trained it}, by name, of all that have one."""
  experiment, found = with_text_rewards(experiment), {}
  for name, variant in policy_variants(experiment).items():
    stage = experiment.stages.get(variant.policy)
    reward = None if stage is None else stage.frozen.get('reward')
    if reward is not None:
      found[name] = reward_name(reward)
  return found


def measure_preferences(run: Run) -> dict[str, preference_accuracy.HeldOut]:
  """{stage: how its policy ranks held-out pairs}, of those trained on pairs.

  A response's implicit reward is the policy's log-ratio to its reference, or
  its log-prob where it has none.
  """
  how, data, found = run.experiment.evaluation, run.data, {}
  for name, stage in producing(run.experiment.stages, 'policy').items():
    dataset = how.pairs_of(name)
    if stage.loss is None or dataset is None:
      continue
    pairs = held_out(run, dataset)
    if reason_for_random(stage) is None:
      pairs = shortest_first(run, pairs)
    with run.trained.while_needed():
      policy = run.trained.params(name, 'policy')
      frozen, models = run.trained.frozen(stage), run.trained.models(name)
      losses = [Mean(np.float32(0.0), np.float32(0.0))]

      def implicit(
        params, batch, stage=stage, frozen=frozen, losses=losses, models=models
      ):
        # Held-out pairs may lack scores that an objective reads, and the
        # reference of a fresh start is not kept.
        with contextlib.suppress(objectives.MissingArraysError):
          losses.append(_loss(run, stage, params, frozen, batch, models))
        model = models.policy
        rewards = logps_of(model, params['policy'], batch)
        if 'reference' in frozen:
          rewards -= logps_of(model, frozen['reference'], batch)
        return rewards

      metrics = measure_pairs(
        data, implicit, {'policy': policy}, pairs, batch_size=how.batch_size
      )
      mean = sum(losses[1:], losses[0])
      loss = float(mean.value) if mean.weight else math.nan
      found[name] = preference_accuracy.HeldOut(loss, metrics)
  return found


def measure_likelihoods(run: Run) -> dict[str, likelihoods.Likelihood]:
  """{policy: how likely held-out demonstrations are to it}, of all policies.

  Of variants that answer on no condition.
  """
  how, data, found = run.experiment.evaluation, run.data, {}
  if how.demonstrations is None:
    return {}
  records = shortest_first(run, held_out(run, how.demonstrations))
  examples, _ = data.encode_all(records)
  lengths = [len(ids) for e in examples for ids in e.response_ids]
  size = data.at_a_time(how.batch_size, 1)
  for name, variant in policy_variants(run.experiment).items():
    if variant.condition is not None or variant.best_of > 1:
      continue
    model = run.trained.models(variant.policy).policy
    with run.trained.while_needed(), jax.set_mesh(data.mesh):
      params = run.trained.params(variant.policy, 'policy')
      read = functools.partial(logps_of, model, params)
      found[name] = of_batches(read, data, examples, size).astype(float)
  return likelihoods.measure(
    found,
    np.array(lengths),
    against=how.against,
    prompts=[records[example.index].prompt for example in examples],
  )


def _loss(run, stage, params, frozen, batch, models):
  """The Mean of a stage's loss over the pairs of a batch."""
  extra = getattr(stage.config, 'initial_extra', dict)()
  terms, _ = jitted(stage.loss)(
    params,
    frozen,
    batch,
    run.key('evaluation'),
    models=models,
    config=override(stage.config, extra),
  )
  count = float(processes.on_host(batch.weight).sum())
  return Mean(training.objective(terms) * count, np.float32(count))


def learning_curves(run: Run) -> dict[str, dict[str, list[float]]]:
  """The metrics of every training stage, by name, with their steps."""
  return {
    name: report.columns(
      metrics.read_jsonl(run.folders[name].path / 'metrics.jsonl')
    )
    for name, stage in run.experiment.stages.items()
    if isinstance(stage, Stage)
  }


def reward_curves(
  columns: Mapping[str, Mapping[str, Sequence[float]]],
) -> dict[str, RewardCurve]:
  """KL, score and gold along the training of each online policy."""
  return {
    name: RewardCurve(
      *(np.array(column[key]) for key in ('step', 'kl', 'score')),
      gold=np.array(column['gold']) if 'gold' in column else None,
    )
    for name, column in columns.items()
    if {'step', 'kl', 'score'} <= set(column)
  }
