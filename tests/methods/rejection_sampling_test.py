"""Rounds of rejection sampling; a text is worth the number it says."""

import functools

import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import rejection_sampling
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Comparison, Demonstration, Demonstrations
from tests import toy
from tests.methods.fake_queries import FakeQueries, numbers, prompt

WHO = prompt()


def fill(records, fake, **options):
  config = rejection_sampling.Bag(**options)
  return rejection_sampling.fill(records, fake.queries, config=config)


def choose(bags, top=None, **fake):
  config = rejection_sampling.Selection(top=top)
  return rejection_sampling.choose(
    bags, FakeQueries(**fake).queries, config=config
  )


class BagTest(absltest.TestCase):
  def test_different_responses_that_ended_best_first(self):
    records = [prompt('a'), prompt('b'), prompt('c')]
    fake = FakeQueries([['1', '…9', '3', '1'], ['…5'], ['4', '4']])
    self.assertEqual(
      fill(records, fake),
      [
        Comparison(records[0], ('3', '1'), scores=(3.0, 1.0)),
        Comparison(records[2], ('4',), scores=(4.0,)),
      ],
    )

  def test_a_round_has_its_own_samples_and_temperature(self):
    fake = FakeQueries([numbers(1, 2)])
    fill([WHO], fake, samples=3, sampling=Sampling(temperature=1.3))
    self.assertEqual(fake.sampled, [(3, Sampling(temperature=1.3))])

  def test_a_round_may_ask_some_kinds_only(self):
    records = [WHO, prompt('b')._replace(kind='letters'), WHO]
    fake = FakeQueries([numbers(5), numbers(7), numbers(6)])
    asks = functools.partial(
      rejection_sampling.of_kinds, kinds=('letters', 'lists')
    )
    self.assertEqual(
      fill(records, fake, asks=asks),
      [Comparison(records[1], ('7',), scores=(7.0,))],
    )
    # Who is asked changes no key: the others are sampled too.
    self.assertEqual(fake.asked, [None])


class SelectionTest(absltest.TestCase):
  def test_the_best_of_a_prompt_s_bags_together(self):
    a, b = prompt('a'), prompt('b')
    bags = [
      Comparison(a, ('5', '1')),
      Comparison(b, ('2',)),
      Comparison(a._replace(where='g:9'), ('4', '3')),
      Comparison(b, ('6', '0')),
    ]
    self.assertEqual(
      choose(bags), [Demonstration(a, '5'), Demonstration(b, '6')]
    )

  def test_all_are_scored_anew(self):
    # An older reward model gave the first bag scores beyond all others.
    bags = [
      Comparison(WHO, ('1', '2'), scores=(90.0, 80.0)),
      Comparison(WHO, ('3',), scores=(0.5,)),
    ]
    self.assertEqual(choose(bags), [Demonstration(WHO, '3')])
    newer = choose(bags, worth=lambda text: -float(text))
    self.assertEqual(newer, [Demonstration(WHO, '1')])

  def test_the_top_of_each_bag_alone(self):
    # By the newest reward 1 is best, but it was not the best of its own bag.
    bags = [Comparison(WHO, ('3', '2', '1')), Comparison(WHO, ('5', '4'))]

    def worth(text):
      return -float(text)

    self.assertEqual(choose(bags, worth=worth), [Demonstration(WHO, '1')])
    self.assertEqual(
      choose(bags, top=2, worth=worth), [Demonstration(WHO, '2')]
    )

  def test_a_text_in_two_bags_is_one_candidate(self):
    fake = FakeQueries()
    bags = [Comparison(WHO, ('1', '2')), Comparison(WHO, ('2', '3'))]
    rejection_sampling.choose(
      bags, fake.queries, config=rejection_sampling.Selection()
    )
    ((scored,),) = fake.scored
    self.assertEqual(scored.responses, ('1', '2', '3'))

  def test_refuses_to_look_at_a_part(self):
    with self.assertRaisesRegex(ValueError, 'all bags at once'):
      rejection_sampling.Selection(batch_size=8)


class TwoSkillsTest(absltest.TestCase):
  """A skill is to stop at once after a prompt: after 0, or after 1.

  The policy's row of a prompt moves only if a demonstration visits it.
  """

  STOP = (toy.EOS,)

  def fine_tune(self, chosen):
    """The chance of stopping at once after 0 and after 1, before and after."""
    start = toy.POLICY.init(jax.random.key(0))
    before = [self.skill(start, head) for head in toy.WORDS]
    batch = toy.compared(
      [int(d.prompt.messages[0].content) for d in chosen],
      [[self.STOP]] * len(chosen),
    )
    batch = Demonstrations(
      tokens=batch.tokens[:, 0],
      attention_mask=batch.attention_mask[:, 0],
      response_mask=batch.response_mask[:, 0],
    )
    optimizer = optax.adam(0.3)
    state = training.create({'policy': start}, optimizer)
    for step in range(60):
      state, _ = jitted(rejection_sampling.update)(
        state,
        {},
        batch,
        jax.random.key(step),
        models=toy.MODELS,
        optimizer=optimizer,
        config=rejection_sampling.Config(steps=60),
      )
    tuned = state.params['policy']
    return before, [self.skill(tuned, head) for head in toy.WORDS]

  def skill(self, params, head):
    table = np.asarray(params['embedding'], np.float64)
    return toy.probability(table, head, self.STOP)

  def test_the_archive_keeps_what_the_newest_bag_lacks(self):
    first = [Comparison(prompt(word), ('2', '1')) for word in '01']
    second = [Comparison(prompt('0'), ('3',))]  # Nobody asked 1 this time.

    newest = choose(second)
    self.assertEqual([d.prompt for d in newest], [prompt('0')])
    before, after = self.fine_tune(newest)
    self.assertGreater(after[0], 0.99)
    self.assertEqual(after[1], before[1])  # As if it had never been learnt.
    self.assertLess(after[1], 0.6)

    archive = choose([*first, *second])
    self.assertEqual(
      archive,
      [Demonstration(prompt('0'), '3'), Demonstration(prompt('1'), '2')],
    )
    _, after = self.fine_tune(archive)
    self.assertGreater(min(after), 0.99)


class RoundsTest(parameterized.TestCase):
  CONFIG = rejection_sampling.Config(steps=1)
  BAGS = tuple(
    rejection_sampling.Bag(sampling=Sampling(temperature=t))
    for t in (1.0, 1.2, 1.3)
  )

  @parameterized.parameters(
    (rejection_sampling.archive, (('rs_1_bag',), 2, 3)),
    (rejection_sampling.newest, (('rs_1_bag',), 1, 1)),
  )
  def test_three_rounds(self, kept, chosen_from):
    found = rejection_sampling.rounds(
      self.CONFIG, self.BAGS, kept=kept, name='rs'
    )
    parts = ('_bag', '_selection', '')
    self.assertEqual(
      list(found), [f'rs_{n}{part}' for n in (1, 2, 3) for part in parts]
    )
    self.assertEqual(
      [found[f'rs_{n}_bag'].policy for n in (1, 2, 3)], ['sft', 'rs_1', 'rs_2']
    )
    self.assertEqual(
      [found[f'rs_{n}_bag'].config for n in (1, 2, 3)], list(self.BAGS)
    )
    data = [found[f'rs_{n}_selection'].data for n in (1, 2, 3)]
    names, second, third = chosen_from
    self.assertEqual(data[0], names)
    self.assertEqual(data[1], ('rs_1_bag', 'rs_2_bag')[-second:])
    self.assertEqual(data[2], ('rs_1_bag', 'rs_2_bag', 'rs_3_bag')[-third:])
    for number in (1, 2, 3):
      stage = found[f'rs_{number}']
      self.assertEqual(stage.data, f'rs_{number}_selection')
      self.assertEqual(stage.start, {'policy': 'sft'})
      self.assertIsInstance(stage, Stage)

  def test_rounds_may_follow_others_under_a_newer_reward(self):
    found = rejection_sampling.rounds(
      self.CONFIG,
      self.BAGS[1:2],
      earlier=('old_bag',),
      policy='rs_1',
      start='rs_1',
      reward='reward_model_2',
      name='rs',
    )
    self.assertEqual(list(found), ['rs_2_bag', 'rs_2_selection', 'rs_2'])
    bag, selection, trained = found.values()
    self.assertIsInstance(bag, DatasetStage)
    self.assertEqual(bag.policy, 'rs_1')
    self.assertEqual(bag.frozen, {'reward': 'reward_model_2'})
    self.assertEqual(selection.frozen, {'reward': 'reward_model_2'})
    self.assertEqual(selection.data, ('old_bag', 'rs_2_bag'))
    self.assertIsNone(selection.policy)
    self.assertEqual(trained.start, {'policy': 'rs_1'})


if __name__ == '__main__':
  absltest.main()
