"""Statistical rejection sampling, and taking the best: kernels.selection."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.kernels import selection
from tests.golden_adapters.cases import Omitted


def all_of(x):
  return jnp.ones(x.shape, bool)


def sequential(inputs, *, beta, num_samples):
  scores = inputs['rewards']
  accepted, _, visited = selection.rejection_sample_by(
    inputs['uniforms'], scores, all_of(scores), beta=beta, count=num_samples
  )
  first = selection.acceptance(scores, all_of(scores), beta=beta)
  ideal, _ = selection.optimal_distribution(
    jnp.zeros_like(scores), scores, beta=beta
  )
  passed_over = jnp.cumprod(jnp.append(1.0, 1.0 - first[:-1]))
  return {
    'accept_prob_first_round': first,
    'accepted_indices': accepted,
    'uniforms_used': visited,
    'inclusion_prob': inclusion(scores, beta, num_samples),
    'single_draw_sequential': passed_over * first,
    'single_draw_ideal': jnp.exp(ideal),
  }


def inclusion(scores, beta, count):
  """[N] chance that each is accepted, over all courses the passes may take."""

  @functools.cache
  def chances_of(left):
    with jax.ensure_compile_time_eval():
      mask = jnp.array([i in left for i in range(len(scores))])
      return np.asarray(selection.acceptance(scores, mask, beta=beta), float)

  @functools.cache
  def included(left, wanted):
    """[N] chances for `wanted` more out of those left."""
    total = np.zeros(len(scores))
    if not left:
      return total

    def visit(place, taken, chance):
      if chance == 0.0:
        return
      if len(taken) == wanted or place == len(left):
        total[list(taken)] += chance
        if len(taken) < wanted:
          rest = tuple(i for i in left if i not in taken)
          total[:] += chance * included(rest, wanted - len(taken))
        return
      here = chances_of(left)[left[place]]
      visit(place + 1, (*taken, left[place]), chance * here)
      visit(place + 1, taken, chance * (1.0 - here))

    visit(0, (), 1.0)
    return total

  return included(tuple(range(len(scores))), count)


def target(inputs, *, beta):
  scores, base = inputs['rewards'], inputs['base_probs']
  base_logps = jnp.log(base)
  law, best_value = selection.optimal_distribution(
    base_logps, scores, beta=beta
  )
  acceptance = selection.acceptance(scores, all_of(scores), beta=beta)
  divergence = jnp.sum(jnp.exp(law) * (law - base_logps))
  return {
    'target': jnp.exp(law),
    'acceptance': acceptance,
    'mean_acceptance': jnp.sum(base * acceptance),
    'kl_target_base': divergence,
    'log_partition': best_value,
    'objective': jnp.sum(jnp.exp(law) * scores) - beta * divergence,
  }


def best_and_worst(inputs, *, alpha, length_penalty):
  scores = inputs['rewards']
  penalised = scores - length_penalty * inputs['lengths']
  ranked, _ = selection.top(penalised, all_of(scores), count=len(scores))
  kept = int(len(scores) * alpha)
  best, _ = selection.top(scores, all_of(scores), count=kept)
  return {
    'penalised': Omitted('a length penalty is part of the reward in ours'),
    'max_min': ranked[jnp.array([0, -1])],
    'max_max': ranked[:2],
    'raft_top': best,
  }


def best_of_each_prompt(inputs, *, num_select):
  """The reference lists each prompt's best in ascending order."""
  tokens = np.asarray(inputs['prompt_tokens'])
  prompts = np.unique(tokens, axis=0)
  same = (tokens[None] == prompts[:, None]).all(-1)  # [prompt, response]
  scores = jnp.broadcast_to(inputs['rewards'], same.shape)
  best, _ = selection.top(scores, same, count=num_select)
  best = best[:, ::-1].reshape(-1)
  return {'selected': best, 'rewards': inputs['rewards'][best]}


ADAPTERS = {
  'rso.select_topk': best_of_each_prompt,
  'rso.selection': best_and_worst,
  'rso.sequential': sequential,
  'rso.target': target,
}
