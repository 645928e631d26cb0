"""What methods that learn from datasets say when nothing is said, and name.

Each default is the value that the method's docstring quotes, written again
here; each stage starts from, freezes, reads and produces what its paper says.
"""

import dataclasses
import functools
import inspect

from absl.testing import absltest, parameterized

from rlhf_jax.feedback import annotating, judging, sampled_pairs
from rlhf_jax.feedback.attributes import Scale
from rlhf_jax.generation import draws
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.learners import (
  attributes,
  likelihood,
  listwise,
  pairwise,
  ranking,
  reward,
  unpaired,
)
from rlhf_jax.learners.reward import multi_view, variational, view_metrics
from rlhf_jax.methods import (
  attribute_model,
  attribute_writer,
  candidates,
  cpo,
  curriculum,
  dpo,
  inform,
  kto,
  labels,
  ocrm,
  offline_rl,
  orpo,
  preferences,
  pro,
  ranker,
  rejection_sampling,
  reward_model,
  rlp,
  rrhf,
  rso,
  scpo,
  sft,
  simpo,
  slic,
  steerlm,
  warm,
  west_of_n,
)
from rlhf_jax.methods.rlp import (
  labelled,
  retraining,
  samples,
  scale,
  synthetic,
)
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.training import optimizers
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Rated,
  Sampled,
)

SCALE = Scale(names=('quality', 'humor'))


def first(prompt, a, b, seed):
  """An annotator who always prefers the first."""
  del prompt, a, b, seed
  return True


def said(value):
  """A value of a config in words and numbers."""
  if isinstance(value, functools.partial):
    bound = ', '.join(f'{k}={v:g}' for k, v in sorted(value.keywords.items()))
    return f'{value.func.__name__}({bound})'
  if isinstance(value, Sampling):
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    plain = {'draw': draws.inverse_cdf, 'min_tokens_to_keep': 1}
    chosen = {
      k: v for k, v in fields.items() if v is not None and v != plain.get(k)
    }
    return ' '.join(f'{k}={float(v):g}' for k, v in chosen.items())
  if isinstance(value, optimizers.Adam):
    return {
      f.name: said(getattr(value, f.name)) for f in dataclasses.fields(value)
    }
  return value.__name__ if callable(value) else value


def adam(rate, **other):
  """Adam with the library's own values for what a paper does not say."""
  usual = {
    'learning_rate': rate,
    'warmup': 0.03,
    'decay': 'constant',
    'b1': 0.9,
    'b2': 0.95,
    'eps': 1e-8,
    'weight_decay': 0.0,
    'max_grad_norm': 1.0,
    'float32_master': False,
    'bfloat16_moments': False,
  }
  return usual | other


LIKELIHOOD = {
  'reduction': 'token_mean',
  'weighing': 'self_normalised',
  'micro_batches': 1,
}
LLAMA = adam(2e-5, decay='cosine(final=0.1)', weight_decay=0.1)
STEERED = adam(5e-6, weight_decay=0.01)
ONCE = {'count': None, 'batch_size': 256}
COMPARED = {'objective': 'bradley_terry', 'centering': 0.0, 'micro_batches': 1}


def objective(name):
  return {'objective': name, 'micro_batches': 1}


def of_pairs(name):
  parts = {'response_logps': 'whole_logps', 'pair_weights': None}
  return objective(name) | parts


# A config, made with what has no default, and all that it then says.
DEFAULTS = {
  'likelihood': (likelihood.Config(), LIKELIHOOD),
  'pairwise': (pairwise.Config(), of_pairs('dpo(beta=0.1)')),
  'listwise': (listwise.Config(), objective('rrhf(rank_coef=1)')),
  'unpaired': (
    unpaired.Config(),
    objective('kto(beta=0.1)')
    | {'desirable': 'first_is_desirable', 'seen_log_ratio': 0.0, 'seen': 0.0},
  ),
  'ranking': (ranking.Config(), {'micro_batches': 1}),
  'attributes': (
    attributes.Config(names=('a',)),
    {'names': ('a',), 'levels': 5, 'micro_batches': 1},
  ),
  'reward': (reward.Config(), COMPARED),
  'sft': (
    sft.Config(steps=3),
    LIKELIHOOD
    | {'steps': 3, 'batch_size': 64, 'optimizer': LLAMA, 'row_length': None},
  ),
  'dpo': (
    dpo.Config(steps=3),
    of_pairs('dpo(beta=0.1)')
    | {
      'steps': 3,
      'batch_size': 64,
      'optimizer': adam(1e-6, max_grad_norm=10.0),
    },
  ),
  'slic': (
    slic.Config(steps=3),
    of_pairs('slic(likelihood_coef=0.1, margin=1)')
    | {'steps': 3, 'batch_size': 32, 'optimizer': adam(1e-5)},
  ),
  'slic pairs': (
    slic.Pairs(),
    ONCE
    | {
      'samples': 8,
      'judge': 'by_reward',
      'pair': 'ordered',
      'target': 'demonstrated',
      'sampling': 'temperature=0.7 top_k=40',
    },
  ),
  'rso': (
    rso.Config(steps=3),
    of_pairs('dpo(beta=0.05)')
    | {'steps': 3, 'batch_size': 32, 'optimizer': adam(1e-5)},
  ),
  'rso pairs': (
    rso.Pairs(),
    {
      'samples': 64,
      'kept': 8,
      'select': 'rejection_sample(beta=0.5)',
      'judge': 'by_reward',
      'pair': 'first_round',
      'count': None,
      'batch_size': 64,
      'sampling': 'temperature=0.7 top_k=40',
    },
  ),
  'scpo': (
    scpo.Config(steps=3),
    of_pairs('dpo_with_likelihood(beta=0.5, likelihood_coef=1)')
    | {'steps': 3, 'batch_size': 64, 'optimizer': adam(5e-6)},
  ),
  'scpo pairs': (
    scpo.Pairs(),
    ONCE
    | {'similarity': 'exact', 'tau': 0.5, 'linkage': 'greedy', 'weight': 1.0},
  ),
  'orpo': (
    orpo.Config(steps=3),
    of_pairs('orpo(beta=0.1)')
    | {
      'steps': 3,
      'batch_size': 64,
      'optimizer': adam(8e-6, decay='linear'),
    },
  ),
  'simpo': (
    simpo.Config(steps=3),
    of_pairs('simpo(beta=2, gamma=1)')
    | {
      'steps': 3,
      'batch_size': 128,
      'optimizer': adam(6e-7, warmup=0.1, decay='cosine'),
    },
  ),
  'cpo': (
    cpo.Config(steps=3),
    of_pairs('cpo(beta=0.1, likelihood_coef=1)')
    | {'steps': 3, 'batch_size': 64, 'optimizer': adam(1e-6)},
  ),
  'rrhf': (
    rrhf.Config(steps=3),
    objective('rrhf(rank_coef=1)')
    | {
      'steps': 3,
      'batch_size': 64,
      'optimizer': adam(2e-5, decay='linear'),
    },
  ),
  'pro': (
    pro.Config(steps=3),
    objective('pro(sft_coef=0.05)')
    | {'steps': 3, 'batch_size': 112, 'optimizer': adam(5e-6)},
  ),
  'kto': (
    kto.Config(steps=3),
    objective('kto(beta=0.1)')
    | {
      'desirable': 'first_is_desirable',
      'seen_log_ratio': 0.0,
      'seen': 0.0,
      'steps': 3,
      'batch_size': 64,
      'optimizer': adam(5e-7),
    },
  ),
  'reward model': (
    reward_model.Config(steps=3),
    COMPARED
    | {
      'steps': 3,
      'batch_size': 512,
      'optimizer': adam(1e-5, decay='cosine(final=0.1)'),
    },
  ),
  'ranker': (
    ranker.Config(steps=3),
    {
      'micro_batches': 1,
      'steps': 3,
      'batch_size': 128,
      'optimizer': adam(1e-5),
    },
  ),
  'offline_rl': (
    offline_rl.Config(steps=3),
    LIKELIHOOD | {'steps': 3, 'batch_size': 128, 'optimizer': adam(5e-6)},
  ),
  'offline_rl pool': (
    offline_rl.Pool(recipe=offline_rl.weighted),
    {'recipe': 'weighted', 'count': None, 'batch_size': None},
  ),
  'attribute model': (
    attribute_model.Config(steps=3, names=('a',)),
    {
      'names': ('a',),
      'levels': 5,
      'micro_batches': 1,
      'steps': 3,
      'batch_size': 512,
      'optimizer': STEERED,
    },
  ),
  'attribute writer': (
    attribute_writer.Config(steps=3),
    LIKELIHOOD | {'steps': 3, 'batch_size': 128, 'optimizer': STEERED},
  ),
  'attribute labels': (
    attribute_writer.Labels(scale=SCALE),
    ONCE | {'scale': SCALE},
  ),
  'steerlm': (
    steerlm.Config(steps=3),
    LIKELIHOOD | {'steps': 3, 'batch_size': 128, 'optimizer': STEERED},
  ),
  'steerlm responses': (steerlm.Responses(), ONCE),
  'steerlm annotation': (
    steerlm.Annotation(scale=SCALE),
    ONCE | {'scale': SCALE, 'rate': 'by_model'},
  ),
  'steerlm bootstrap': (
    steerlm.Bootstrap(scale=SCALE),
    {
      'scale': SCALE,
      'quality': ('quality',),
      'samples': 4,
      'sampling': 'temperature=1 top_k=50',
      'count': None,
      'batch_size': None,
    },
  ),
  'rejection sampling': (
    rejection_sampling.Config(steps=3),
    LIKELIHOOD | {'steps': 3, 'batch_size': 64, 'optimizer': LLAMA},
  ),
  'rejection sampling bag': (
    rejection_sampling.Bag(),
    ONCE | {'samples': 8, 'asks': 'every', 'sampling': 'temperature=1.2'},
  ),
  'rejection sampling selection': (
    rejection_sampling.Selection(),
    {'top': None, 'count': None, 'batch_size': None},
  ),
  'curriculum': (
    curriculum.Config(pairs=((0, 1),)),
    {'pairs': ((0, 1),), 'count': None, 'batch_size': 1024},
  ),
  'candidates': (
    candidates.Config(),
    ONCE | {'samples': 4, 'cut': False, 'sampling': 'temperature=1'},
  ),
  'labels': (
    labels.Config(),
    ONCE | {'samples': 0, 'sampling': 'temperature=1'},
  ),
  'preferences': (
    preferences.Config(annotate=first, count=5),
    {
      'annotate': 'first',
      'count': 5,
      'batch_size': 256,
      'sampling': 'temperature=1',
    },
  ),
  'rlp retraining': (
    retraining.Config(steps=3),
    COMPARED
    | {
      'representation': 'information_bottleneck',
      'representation_coef': 0.5,
      'skl_coef': 1.0,
      'schedule': None,
      'negatives': 'negative_pairs',
      'log_variance': 'tanh_log_variance',
      'latent': 64,
      'hidden': None,
      'critic_hidden': 1024,
      'deviation_bias': -2.0,
      'most_gradient': None,
      'steps': 3,
      'batch_size': 16,
      'extra_batch_size': 32,
      'optimizer': adam(3e-6, b2=0.999, decay='cosine(final=0)'),
      'bottleneck_optimizer': adam(1e-4, b2=0.999, warmup=0.0),
    },
  ),
  'inform': (
    inform.Config(steps=3),
    COMPARED
    | {
      'latent': 128,
      'divergence': 'standard_normal_kl',
      'divergence_coef': 0.1,
      'log_variance': 'tanh_log_variance',
      'steps': 3,
      'batch_size': 512,
      'optimizer': adam(1e-5, decay='cosine(final=0.1)'),
    },
  ),
  'rlp samples': (
    samples.Config(),
    ONCE | {'samples': 10, 'sampling': 'temperature=1'},
  ),
  'warm': (warm.Config(), {'batch_size': 512, 'steps': 1}),
  'rlp scale': (scale.Config(), {'batch_size': 512, 'steps': 1}),
  'rlp synthetic': (
    synthetic.Config(),
    ONCE
    | {
      'similarity': 'exact',
      'gamma': 0.5,
      'linkage': 'greedy',
      'choose': 'best_scored',
      'tie': 'of_best_scored',
      'weight': 1.0,
    },
  ),
  'west_of_n': (
    west_of_n.Config(),
    ONCE | {'weight': 1.0, 'most_sure': 1.0},
  ),
  'ocrm': (
    ocrm.Config(),
    {
      'share': 0.1,
      'flattening': 0.01,
      'normalise': 'as_they_are',
      'count': None,
      'batch_size': None,
    },
  ),
  'sampled pairs': (sampled_pairs.PairConfig(), ONCE | {'weight': 1.0}),
}
COUNTED = {  # Written elsewhere in this table, as its base.
  'multi_view': multi_view.Config,
  'variational': variational.Config,
  'objective': labelled.AskedConfig,
}
MODULES = (
  attribute_model, attribute_writer, candidates, cpo, curriculum, dpo, kto,
  labels, offline_rl, orpo, preferences, pro, ranker, rejection_sampling,
  reward_model, rrhf, rso, scpo, sft, simpo, slic, steerlm, retraining,
  samples, sampled_pairs, scale, synthetic, labelled, attributes, likelihood,
  listwise, pairwise, ranking, reward.comparisons, unpaired, multi_view,
  inform, variational, ocrm, warm, west_of_n,
)  # fmt: skip


class DefaultsTest(parameterized.TestCase):
  @parameterized.parameters(*DEFAULTS)
  def test_are_what_is_written_here(self, name):
    config, expected = DEFAULTS[name]
    found = {
      f.name: said(getattr(config, f.name)) for f in dataclasses.fields(config)
    }
    self.assertEqual(found, expected)

  def test_every_config_is_here(self):
    there = {
      thing
      for module in MODULES
      for thing in vars(module).values()
      if inspect.isclass(thing)
      and dataclasses.is_dataclass(thing)
      and thing.__module__ == module.__name__
    }
    here = {type(config) for config, _ in DEFAULTS.values()}
    self.assertEqual(there, here | set(COUNTED.values()))

  def test_a_loss_is_that_of_its_learner(self):
    for learner, methods in {
      likelihood: (sft, offline_rl, attribute_writer, steerlm,
                   rejection_sampling),
      pairwise: (dpo, slic, rso, scpo, orpo, simpo, cpo),
      listwise: (rrhf, pro),
      unpaired: (kto,),
      ranking: (ranker,),
      attributes: (attribute_model,),
      reward: (reward_model,),
      multi_view: (retraining,),
      variational: (inform,),
    }.items():  # fmt: skip
      for method in methods:
        self.assertIs(method.loss, learner.loss, method)
        self.assertIs(method.update, learner.update, method)


def trained(learner, data, reads, start='sft', **fields):
  """What a training stage says, beside its config."""
  known = {
    'init': learner.init,
    'update': learner.update,
    'data': data,
    'reads': reads,
    'start': {'policy': start} if start else {},
  }
  # What learns from pairs says its loss, which is measured on held-out ones.
  if learner in (pairwise, listwise, unpaired):
    known['loss'] = learner.loss
  return known | fields


def written(build, data, builds, **fields):
  """What a writing stage says, beside its config."""
  return {'build': build, 'data': data, 'builds': builds} | fields


REFERENCE = {
  'frozen': {'reference': 'sft'},
  'precompute': pairwise.reference_logps,
}
REWARD = {'frozen': {'reward': 'reward_model'}}
PAIRS, TEXTS = (Comparison,), (Demonstration,)
# A function of stages with what it is called with, and each stage that it then
# makes, by name: what is not said is as for any stage.
STAGES = {
  'sft': (
    sft.stages, (sft.Config(steps=3),), {},
    {'sft': trained(likelihood, 'demonstrations', TEXTS, None)},
  ),
  'sft from another': (
    sft.stages, (sft.Config(steps=3),), {'start': 'x', 'data': 'y'},
    {'sft': trained(likelihood, 'y', TEXTS, 'x')},
  ),
  'dpo': (
    dpo.stages, (dpo.Config(steps=3),), {},
    {'dpo': trained(pairwise, 'preferences', PAIRS, **REFERENCE)},
  ),
  'dpo from another': (
    dpo.stages, (dpo.Config(steps=3),), {'start': 'x', 'curriculum': 7},
    {'dpo': trained(
      pairwise, 'preferences', PAIRS, 'x', curriculum=7,
      precompute=pairwise.reference_logps, frozen={'reference': 'x'},
    )},
  ),
  'slic': (
    slic.stages, (slic.Config(steps=3),), {},
    {'slic': trained(pairwise, 'slic_pairs', PAIRS)},
  ),
  'slic pairs': (
    slic.pair_stages, (slic.Pairs(),), {},
    {'slic_pairs': written(
      slic.build, 'demonstrations', Comparison, policy='sft', **REWARD
    )},
  ),
  'slic pairs of a ranker': (
    slic.pair_stages,
    (slic.Pairs(judge=judging.by_ranker, pair=slic.tournament),),
    {'judge': 'ranker', 'policy': 'x'},
    {'slic_pairs': written(
      slic.build, 'demonstrations', Comparison, policy='x',
      frozen={'ranker': 'ranker'},
    )},
  ),
  'rso': (
    rso.stages, (rso.Config(steps=3),), {},
    {'rso': trained(pairwise, 'rso_pairs', PAIRS, **REFERENCE)},
  ),
  'rso pairs': (
    rso.pair_stages, (rso.Pairs(),), {},
    {'rso_pairs': written(
      rso.build, 'prompts', Comparison, policy='sft', **REWARD
    )},
  ),
  'scpo': (
    scpo.stages, (scpo.Config(steps=3),), {},
    {'scpo': trained(pairwise, 'scpo_pairs', PAIRS, **REFERENCE)},
  ),
  'scpo pairs': (
    scpo.pair_stages, (scpo.Pairs(),), {},
    {'scpo_pairs': written(
      scpo.build, 'policy_samples', Comparison, reads=(Sampled,)
    )},
  ),
  'orpo': (
    orpo.stages, (orpo.Config(steps=3),), {},
    {'orpo': trained(pairwise, 'preferences', PAIRS)},
  ),
  'simpo': (
    simpo.stages, (simpo.Config(steps=3),), {},
    {'simpo': trained(pairwise, 'preferences', PAIRS)},
  ),
  'cpo': (
    cpo.stages, (cpo.Config(steps=3),), {},
    {'cpo': trained(pairwise, 'preferences', PAIRS)},
  ),
  'rrhf': (
    rrhf.stages, (rrhf.Config(steps=3),), {},
    {'rrhf': trained(listwise, 'candidates', PAIRS)},
  ),
  'pro': (
    pro.stages, (pro.Config(steps=3),), {},
    {'pro': trained(listwise, 'candidates', PAIRS)},
  ),
  'kto': (
    kto.stages, (kto.Config(steps=3),), {},
    {'kto': trained(
      unpaired, 'preferences', PAIRS, frozen={'reference': 'sft'},
      least_responses=1,
    )},
  ),
  'kto from another': (
    kto.stages, (kto.Config(steps=3),), {'start': 'x'},
    {'kto': trained(
      unpaired, 'preferences', PAIRS, 'x', frozen={'reference': 'x'},
      least_responses=1,
    )},
  ),
  'reward model': (
    reward_model.stages, (reward_model.Config(steps=3),), {},
    {'reward_model': trained(
      reward, 'preferences', PAIRS, produces='reward'
    )},
  ),
  'reward model trained on': (
    reward_model.stages, (reward_model.Config(steps=3),),
    {'start': {'reward': 'x'}},
    {'reward_model': trained(
      reward, 'preferences', PAIRS, produces='reward'
    ) | {'start': {'reward': 'x'}}},
  ),
  'inform': (
    inform.stages, (inform.Config(steps=3),), {},
    {'inform': trained(variational, 'preferences', PAIRS, produces='reward')},
  ),
  'ranker': (
    ranker.stages, (ranker.Config(steps=3),), {},
    {'ranker': trained(ranking, 'preferences', PAIRS, produces='ranker')},
  ),
  'offline_rl': (
    offline_rl.stages, (offline_rl.Config(steps=3),), {},
    {'offline_rl': trained(likelihood, 'pool', TEXTS)},
  ),
  'pool': (
    offline_rl.pool_stages, (offline_rl.Pool(recipe=offline_rl.weighted),), {},
    {'pool': written(
      offline_rl.build, 'labelled', Demonstration, reads=(Rated,)
    )},
  ),
  'labels': (
    labels.stages, (labels.Config(),), {},
    {'labelled': written(labels.build, 'demonstrations', Rated, **REWARD)},
  ),
  'attribute model': (
    attribute_model.stages,
    (attribute_model.Config(steps=3, names=('a',)),), {},
    {'attribute_model': trained(
      attributes, 'rated', (Rated,), produces='attributes'
    )},
  ),
  'attribute writer': (
    attribute_writer.stages, (attribute_writer.Config(steps=3),), {},
    {'attribute_writer': trained(
      likelihood, 'attribute_labels', TEXTS, produces='attributes'
    )},
  ),
  'attribute labels': (
    attribute_writer.label_stages, (attribute_writer.Labels(scale=SCALE),), {},
    {'attribute_labels': written(
      attribute_writer.build, 'rated', Demonstration, reads=(Rated,)
    )},
  ),
  'steerlm': (
    steerlm.stages, (steerlm.Config(steps=3),), {},
    {'steerlm': trained(likelihood, 'annotated', TEXTS)},
  ),
  'steerlm plain': (
    steerlm.plain_stages, (steerlm.Responses(),), {},
    {'plain': written(steerlm.strip, 'annotated', Demonstration)},
  ),
  'steerlm annotation': (
    steerlm.annotation_stages, (steerlm.Annotation(scale=SCALE),), {},
    {'annotated': written(
      steerlm.annotate, 'rated', Demonstration,
      frozen={'attributes': 'attribute_model'},
    )},
  ),
  'steerlm bootstrap': (
    steerlm.bootstrap_stages,
    (
      steerlm.Bootstrap(scale=SCALE),
      steerlm.Annotation(scale=SCALE, rate=annotating.by_writer),
    ),
    {'rater': 'writer'},
    {
      'bootstrapped_own': written(
        steerlm.bootstrap, 'annotated', Demonstration, policy='steerlm'
      ),
      'bootstrapped': written(
        steerlm.annotate, 'bootstrapped_own', Demonstration, policy='writer'
      ),
    },
  ),
  'bag': (
    rejection_sampling.bag_stages, (rejection_sampling.Bag(),), {},
    {'bag': written(
      rejection_sampling.fill, 'prompts', Comparison, policy='sft', **REWARD
    )},
  ),
  'selection': (
    rejection_sampling.selection_stages, (rejection_sampling.Selection(),), {},
    {'selection': written(
      rejection_sampling.choose, ('bag',), Demonstration, reads=PAIRS, **REWARD
    )},
  ),
  'rejection sampling': (
    rejection_sampling.stages, (rejection_sampling.Config(steps=3),), {},
    {'rejection_sampling': trained(likelihood, 'selection', TEXTS)},
  ),
  'curriculum': (
    curriculum.stages, (curriculum.Config(pairs=((0, 1),)),), {},
    {'tier_pairs': written(
      curriculum.build, 'tiers', Comparison, reads=PAIRS
    )},
  ),
  'candidates': (
    candidates.stages, (candidates.Config(),), {},
    {'candidates': written(
      candidates.build, 'prompts', Comparison, policy='sft', **REWARD
    )},
  ),
  'preferences': (
    preferences.stages, (preferences.Config(annotate=first, count=5),), {},
    {'preferences': written(
      preferences.build, 'prompts', Comparison, policy='sft'
    )},
  ),
  'rlp samples': (
    samples.stages, (samples.Config(),), {},
    {'policy_samples': written(
      samples.build, 'prompts', Sampled, policy='ppo', **REWARD
    )},
  ),
  'unscored samples': (
    samples.unscored_stages, (samples.Config(samples=8),), {},
    {'policy_samples': written(
      samples.build, 'prompts', Sampled, policy='sft'
    )},
  ),
  'rlp retraining': (
    retraining.stages, (retraining.Config(steps=3),), {},
    {'reward_model_uml': trained(
      multi_view, 'preferences', PAIRS, produces='reward',
      reads_extra=(Sampled,), extra_data='policy_samples',
      alarm=view_metrics.collapse,
    )},
  ),
  'rlp synthetic': (
    synthetic.stages, (synthetic.Config(),), {},
    {'synthetic': written(
      synthetic.by_consistency, 'policy_samples', Comparison,
      reads=(Sampled,), **REWARD
    )},
  ),
  'west_of_n by reward': (
    west_of_n.stages_by_reward, (west_of_n.Config(),), {},
    {'west_of_n': written(
      west_of_n.by_reward, 'policy_samples', Comparison, reads=(Sampled,)
    )},
  ),
  'west_of_n by ranker': (
    west_of_n.stages_by_ranker, (west_of_n.Config(),), {},
    {'west_of_n': written(
      west_of_n.by_ranker, 'policy_samples', Comparison, reads=(Sampled,),
      frozen={'ranker': 'ranker'},
    )},
  ),
  'ocrm': (
    ocrm.stages, (ocrm.Config(),), {},
    {'weighted_preferences': written(
      ocrm.build, 'preferences', Comparison, reads=PAIRS, policy='ppo',
      frozen={'reference': 'sft'},
    )},
  ),
  'rlp synthetic by reward': (
    labelled.stages_by_reward, (sampled_pairs.PairConfig(),), {},
    {'synthetic': written(
      labelled.by_reward, 'policy_samples', Comparison, reads=(Sampled,)
    )},
  ),
}  # fmt: skip


class StagesTest(parameterized.TestCase):
  @parameterized.parameters(*STAGES)
  def test_name_what_they_need(self, name):
    function, given, options, expected = STAGES[name]
    made = function(*given, **options)
    self.assertEqual(list(made), list(expected))
    for stage, fields in expected.items():
      kind = Stage if 'init' in fields else DatasetStage
      known = dict(kind._field_defaults) | fields
      found = made[stage]._asdict()
      config = found.pop('config')
      self.assertIn(config, given)
      self.assertEqual(found, known, stage)

  def test_a_stage_may_have_another_name(self):
    for function, given, options, expected in STAGES.values():
      if len(expected) == 1:
        (made,) = function(*given, **options, name='other')
        self.assertEqual(made, 'other')


class ChosenTest(absltest.TestCase):
  def test_rlp_s_two_starts(self):
    stable, paper = rlp.stable(steps=3), rlp.paper(steps=3)
    plain = retraining.Config(steps=3)
    for config, moved in (
      (stable, {'schedule': 'exponential', 'most_gradient': 1.0}),
      (paper, {'log_variance': 'softplus_log_variance', 'deviation_bias': 0.0}),
    ):
      expected = {
        f.name: moved.get(f.name, said(getattr(plain, f.name)))
        for f in dataclasses.fields(plain)
      }
      found = {
        f.name: said(getattr(config, f.name))
        for f in dataclasses.fields(config)
      }
      self.assertEqual(found, expected)


if __name__ == '__main__':
  absltest.main()
