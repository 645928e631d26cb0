"""Variants of policies: on a condition, the best of several, warned of."""

import dataclasses
import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.experiment import (
  Evaluation,
  ExperimentError,
  Limits,
  PolicyVariant,
  answering,
  answers,
  definition,
  notes,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import ensembles
from rlhf_jax.methods import sft
from rlhf_jax.stages import Ensemble
from rlhf_jax.types import Demonstration
from tests.experiment import small

CONDITIONED = sft.stages(sft.Config(steps=1), name='told')
ROOM = 8  # Tokens of a condition, at most.


@dataclasses.dataclass(frozen=True)
class Told:
  """A condition that is doubtful where no one was trained on it."""

  text: str

  def warning(self, seen):
    return None if self.text in seen else f'{self.text!r} is new'


def even_words(prompts, responses):
  """The words of a response; no score where their number is odd."""
  assert not any(prompt.condition for prompt in prompts)
  counts = [len(response.split()) for response in responses]
  return [None if n % 2 else n for n in counts]


def chain(folder, **variants):
  """A chain with a policy 'told', which starts as another than 'sft'."""
  words = sandbox.CONDITION_WORDS
  model = dataclasses.replace(
    small.MODEL, vocab_size=sandbox.tokenizer(words).vocab_size
  )
  made = small.chain(
    pathlib.Path(folder),
    CONDITIONED,
    data=dataclasses.replace(small.WORLD, words=words),
    model=model,
    limits=Limits(
      max_prompt_tokens=sandbox.max_prompt_tokens() + ROOM,
      max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
    ),
    evaluation=Evaluation(count=3, samples=2, batch_size=4),
    variants=variants,
  )
  for seed, name in enumerate(('sft', 'told', 'reward_model', 'ranker')):
    stage = made.experiment.stages[name]
    init = made.trained.initialiser(name)
    start = {
      role: made.trained.params(s, role) for role, s in stage.start.items()
    }
    made.loaded[name] = init(jax.random.key(seed), start)
    made.folders[name].path.mkdir()
  return made


def parts(made, name, samples=2, key=0):
  """All that `respond` gives for the first five training prompts."""
  return list(
    answering.respond_as(
      made,
      definition.policy_variants(made.experiment)[name],
      made.data.records('prompts')[:5],
      jax.random.key(key),
      samples=samples,
      sampling=Sampling(temperature=1.0),
      batch_size=4,
    )
  )


class RespondTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.chain = chain(
      folder.name,
      told=PolicyVariant(policy='told', condition=Told('<rm_score>: 2')),
      best=PolicyVariant(policy='sft', best_of=6),
    )

  def test_policies_come_first_and_one_may_be_replaced(self):
    found = definition.policy_variants(self.chain.experiment)
    self.assertEqual([*found], ['sft', 'told', 'best'])
    self.assertEqual(found['sft'], PolicyVariant(policy='sft'))
    self.assertIsNotNone(found['told'].condition)

  def test_the_policy_reads_the_condition_right_before_its_response(self):
    first, _ = parts(self.chain, 'told')
    start = first.rollouts.tokens.shape[-1] - first.rollouts.response_length
    tokenizer = self.chain.corpus.tokenizer
    for row, example in enumerate(first.examples):
      mask = np.asarray(first.rollouts.attention_mask[row, 0, :start])
      read = np.asarray(first.rollouts.tokens[row, 0, :start])[mask]
      self.assertEqual(
        tokenizer.decode(read.tolist()), example.prompt.text + ' <rm_score>: 2'
      )

  def test_judges_see_the_same_responses_and_no_condition(self):
    for part in parts(self.chain, 'told'):
      tokens, mask = map(np.asarray, part.rollouts.responses)
      for row, example in enumerate(part.examples):
        for k in range(2):
          shown = np.asarray(part.shown.tokens[row, k])
          real = np.asarray(part.shown.attention_mask[row, k])
          response = tokens[row, k][mask[row, k]].tolist()
          self.assertEqual(
            shown[real].tolist(), [*example.prompt_ids, *response]
          )
          written = np.asarray(part.shown.response_mask[row, k])
          self.assertEqual(shown[written].tolist(), response)

  def test_divergence_is_from_the_plain_prompt(self):
    # By definition: both policies' log-probs of each response, one by one.
    measured = answering.sample(self.chain, 'told')
    self.assertTrue(all(not p.condition for p in measured.prompts))
    model = self.chain.models().policy
    tokenizer = self.chain.corpus.tokenizer

    def logp(name, before, response):
      params = self.chain.trained.params(name, 'policy')
      ids = np.array([*before, *response], np.int32)[None]
      hidden = model.hidden(params, ids, np.ones(ids.shape, bool))
      laws = jax.nn.log_softmax(model.logits(params, hidden))[0]
      return sum(
        laws[len(before) - 1 + t, token] for t, token in enumerate(response)
      )

    for i in (0, 3):
      said = tokenizer.encode(measured.responses[i])
      said += [tokenizer.eos_id] * bool(measured.ended[i])
      plain = tokenizer.encode(measured.prompts[i].text)
      told = plain + tokenizer.encode('<rm_score>: 2')
      expected = logp('told', told, said) - logp('sft', plain, said)
      np.testing.assert_allclose(measured.kl[i], expected, atol=2e-4)

  def limited(self, rows):
    return small.remade(self.chain, max_rows=rows)

  @parameterized.parameters(('sft', 6, [3, 2]), ('best', 13, [1] * 5))
  def test_no_more_responses_are_sampled_at_a_time(self, name, rows, sizes):
    # Two of each prompt, or two bests of six.
    whole = parts(self.chain, name)
    found = parts(self.limited(rows), name)
    self.assertEqual([len(part.examples) for part in found], sizes)
    for part in found:
      self.assertLessEqual(part.rollouts.tokens.shape[0], sizes[0])
    self.assertEqual(
      [texts for part in found for texts in part.texts],
      [texts for part in whole for texts in part.texts],
    )

  def test_the_best_of_each_share_is_given(self):
    every = parts(self.chain, 'sft', samples=12)
    for pool, best in zip(every, parts(self.chain, 'best'), strict=True):
      scores = np.asarray(pool.scores).reshape(-1, 2, 6)
      ended = np.asarray(pool.rollouts.ended).reshape(scores.shape)
      for row, texts in enumerate(best.texts):
        for share in range(2):
          allowed = np.flatnonzero(ended[row, share])
          if not len(allowed):
            allowed = np.arange(6)
          place = allowed[np.argmax(scores[row, share, allowed])]
          self.assertEqual(texts[share], pool.texts[row][6 * share + place])
          np.testing.assert_allclose(
            best.scores[row, share], scores[row, share, place], rtol=1e-5
          )

  def test_the_best_of_n_is_not_of_the_policy_s_own_answers(self):
    # Or it would be compared with its own candidates.
    data = self.chain.data
    asked, _ = data.encode(data.records('test_prompts')[:3])
    sampler = self.chain.models().sampler
    rollouts = sampler.sample(
      sampler.load(self.chain.trained.params('sft', 'policy')),
      data.prompts(asked, 0, 4),
      self.chain.key('evaluation'),
      samples=12,
      sampling=Sampling(temperature=1.0),
    )
    listed = data.responses([e.prompt for e in asked], rollouts)
    own = {text for row in listed for text in row}
    plain = answering.sample(self.chain, 'sft').responses
    best = answering.sample(self.chain, 'best').responses
    self.assertLessEqual(set(plain), own)
    self.assertFalse(set(best) & own)

  def test_a_temperature_of_its_own(self):
    for given, expected in ((None, 1.0), (0.25, 0.25)):
      variant = PolicyVariant(policy='sft', temperature=given)
      how = self.chain.experiment.evaluation
      self.assertEqual(answering.temperature_of(variant, how), expected)

  def test_an_ensemble_scores_what_was_trained_on_it(self):
    members = ('reward_model', 'ranker')
    stage = self.chain.experiment.stages['told']
    frozen = {'reward': Ensemble(members, ensembles.worst)}
    stages = self.chain.experiment.stages | small.producing('ranker', 'reward')
    stages['told'] = stage._replace(frozen=frozen)
    made = small.remade(self.chain, stages=stages)
    own = made.loaded['ranker']
    own['reward'] = own['ranker']
    model = self.chain.models().reward
    for part in parts(made, 'told'):
      batch = part.shown
      rows = len(part.examples)
      each = [
        model.scores(
          made.trained.params(name, 'reward'),
          batch.tokens[:rows, 0],
          batch.attention_mask[:rows, 0],
        )[:, 0]
        for name in members
      ]
      np.testing.assert_allclose(
        part.scores[:rows, 0], np.minimum(*each), atol=1e-5
      )

  def scored_by(self, program):
    """The chain whose policy 'told' learnt from a program."""
    stages = dict(self.chain.experiment.stages)
    stages['told'] = stages['told']._replace(frozen={'reward': program})
    best = PolicyVariant(policy='told', best_of=6)
    return small.remade(self.chain, stages=stages, variants={'best': best})

  def test_a_program_scores_what_was_trained_on_it(self):
    measured = answering.sample(self.scored_by(even_words), 'told')
    counts = [len(text.split()) for text in measured.responses]
    self.assertLen({n % 2 for n in counts}, 2)
    np.testing.assert_array_equal(
      measured.score, [np.nan if n % 2 else n for n in counts]
    )
    # What learnt from no reward is scored by the first reward model, as ever.
    np.testing.assert_array_equal(
      answering.sample(self.scored_by(even_words), 'sft').score,
      answering.sample(self.chain, 'sft').score,
    )

  def test_a_program_chooses_the_best(self):
    made = self.scored_by(even_words)
    pools = parts(made, 'told', samples=12)
    for pool, best in zip(pools, parts(made, 'best'), strict=True):
      for row, texts in enumerate(best.texts):
        for share in range(2):
          # The longest of an even count that ended or, of none such, any.
          places = range(6 * share, 6 * share + 6)
          even = [k for k in places if not len(pool.texts[row][k].split()) % 2]
          ended = [k for k in even if pool.texts[row][k].ended]
          most = max(len(pool.texts[row][k].split()) for k in ended or even)
          self.assertLen(texts[share].split(), most)
          self.assertEqual(best.scores[row, share], most)

  def test_what_is_kept_depends_on_the_program_that_scores(self):
    def path(program):
      made = self.scored_by(program).experiment
      addresses = dict.fromkeys([*made.stages, 'data'], 'as it was')
      return answers.path(made, addresses, pathlib.Path('s'), 'told')

    self.assertEqual(path(even_words), path(even_words))
    self.assertNotEqual(path(even_words), path(sandbox.gold))

  def test_the_best_of_n_is_further_away_by_the_closed_form(self):
    measured = answering.sample(self.chain, 'best')
    # SFT against itself is at 0, and ln 6 − 5/6 = 0.95843 is added.
    np.testing.assert_allclose(measured.kl, 0.958426, atol=1e-5)

  def test_what_is_kept_depends_on_the_way_of_answering(self):
    def path(**changes):
      made = self.chain.experiment
      best = dataclasses.replace(made.variants['best'], **changes)
      other = dataclasses.replace(made, variants={'best': best})
      found = stage_addresses(other)
      return answers.path(other, found, pathlib.Path('s'), 'best')

    ways = (
      path(),
      path(best_of=7),
      path(temperature=0.5),
      path(condition=Told('a')),
      path(condition=Told('b')),
    )
    self.assertLen(set(ways), 5)
    self.assertLen({way.parent for way in ways}, 1)

  def warnings(self, chain, names=None):
    return notes.warnings(chain.experiment, chain.data, names)

  def test_warned_of_what_was_not_trained_on(self):
    self.assertEqual(
      self.warnings(self.chain), ["told: '<rm_score>: 2' is new"]
    )
    self.assertEqual(self.warnings(self.chain, ['best']), [])
    condition = self.chain.experiment.variants['told'].condition
    datasets = dict(self.chain.corpus.datasets)
    datasets['demonstrations'] = [
      Demonstration(r.prompt._replace(condition=condition.text), r.response)
      for r in datasets['demonstrations']
    ]
    known = small.holding(self.chain, **datasets)
    self.assertEqual(self.warnings(known), [])

  def test_a_condition_that_does_not_fit_is_refused(self):
    long = PolicyVariant(policy='told', condition=Told('- ' * 20))
    made = small.remade(self.chain, variants={'told': long})
    with self.assertRaisesRegex(ValueError, 'raise max_prompt_tokens'):
      parts(made, 'told')

  @parameterized.parameters(
    (
      {'x': PolicyVariant(policy='ppo')},
      "'x' answers with the policy 'ppo', and",
    ),
    (
      {'told': PolicyVariant(policy='sft')},
      "'told' is a variant .* and also a stage",
    ),
  )
  def test_what_cannot_answer_is_refused(self, variants, said):
    with self.assertRaisesRegex(ExperimentError, said):
      dataclasses.replace(self.chain.experiment, variants=variants)


if __name__ == '__main__':
  absltest.main()
