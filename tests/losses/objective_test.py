"""What a learner asks of an objective, and what it is told if it cannot be."""

import functools

import chex
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import objective, pairwise, unpaired
from rlhf_jax.losses.pairwise import per_token, reference_free, transport

SUMS = {
  'policy_chosen_logps': np.float32([-3.0, -4.0]),
  'policy_rejected_logps': np.float32([-5.0, -2.0]),
}
RATIOS = ('chosen_log_ratios', 'rejected_log_ratios')
LENGTHS = {
  'chosen_lengths': np.float32([3.0, 2.0]),
  'rejected_lengths': np.float32([4.0, 1.0]),
}


class ReadsTest(parameterized.TestCase):
  def test_names_the_arrays_and_no_options(self):
    self.assertEqual(objective.reads(reference_free.hinge), tuple(SUMS))
    self.assertEqual(
      objective.reads(per_token.ipo_mean),
      (*RATIOS, 'chosen_lengths', 'rejected_lengths'),
    )

  def test_some_take_a_reference_to_know(self):
    for function, expected in (
      (reference_free.hinge, ()),
      (pairwise.bradley_terry, ()),
      (per_token.ipo_mean, RATIOS),
      (pairwise.chosen_only, RATIOS[:1]),
      (pairwise.dpo, ('reference_chosen_logps', 'reference_rejected_logps')),
      (unpaired.kto, ('reference_logps',)),
    ):
      found = objective.of_reference(objective.reads(function))
      self.assertEqual(found, expected, function)

  def test_binding_an_option_changes_nothing(self):
    bound = functools.partial(reference_free.simpo, beta=2.0, gamma=0.5)
    self.assertEqual(objective.reads(bound), (*SUMS, *LENGTHS))
    again = functools.partial(bound, label_smoothing=0.1)
    self.assertEqual(objective.reads(again), (*SUMS, *LENGTHS))

  def test_an_array_that_is_bound_is_not_asked_for(self):
    bound = functools.partial(pairwise.bradley_terry, margins=1.0)
    self.assertEqual(
      objective.reads(bound), ('chosen_scores', 'rejected_scores')
    )


class EvaluateTest(chex.TestCase):
  def test_hands_over_by_name_what_is_read(self):
    """Whatever the order they are offered in, and whatever else is."""
    bound = functools.partial(reference_free.hinge, beta=0.5)
    offered = dict(reversed((LENGTHS | SUMS).items()))
    actual = objective.evaluate(bound, offered)
    # 1 − (−3 + 5) / 2 and 1 − (−4 + 2) / 2.
    np.testing.assert_allclose(actual, [0.0, 2.0], atol=1e-6)

  def test_says_which_array_is_missing(self):
    bound = functools.partial(pairwise.dpo, beta=0.1)
    with self.assertRaisesRegex(
      ValueError,
      '^dpo reads reference_chosen_logps, reference_rejected_logps, and .* '
      'policy_chosen_logps, policy_rejected_logps; .*reference',
    ) as raised:
      objective.evaluate(bound, SUMS)
    self.assertNotIn('\n', str(raised.exception))

  def test_says_which_option_is_missing(self):
    with self.assertRaisesRegex(
      ValueError, r'simpo needs a value for gamma: .*partial\(simpo, gamma='
    ):
      objective.evaluate(
        functools.partial(reference_free.simpo, beta=2.0), SUMS | LENGTHS
      )

  def test_an_option_with_a_default_needs_no_binding(self):
    bound = functools.partial(reference_free.cpo, beta=0.1)
    chex.assert_shape(objective.evaluate(bound, SUMS), (2,))


class LossesOfTest(chex.TestCase):
  def test_says_who_gave_another_shape_and_what_is_owed(self):
    def mean_of_all(policy_chosen_logps):
      return policy_chosen_logps.mean()

    with self.assertRaisesRegex(
      ValueError,
      r'^mean_of_all gave an array of shape \(\); it owes one loss a pair, '
      r'shape \(2,\)$',
    ):
      objective.losses_of(mean_of_all, SUMS, shape=(2,), each='a pair')

  def test_gives_the_losses(self):
    bound = functools.partial(reference_free.hinge, beta=0.5)
    actual = objective.losses_of(
      bound, LENGTHS | SUMS, shape=(2,), each='a pair'
    )
    np.testing.assert_allclose(actual, [0.0, 2.0], atol=1e-6)


class RefusePartsTest(parameterized.TestCase):
  def test_names_the_objective_and_what_to_do(self):
    bound = functools.partial(
      functools.partial(transport.aot, beta=0.1), label_smoothing=0.1
    )
    with self.assertRaisesRegex(
      ValueError, '^aot compares .* 4 micro-batches; set micro_batches to 1$'
    ):
      objective.refuse_parts(bound, 4)
    objective.refuse_parts(bound, 1)

  def test_lets_the_others_be_cut(self):
    whole = functools.partial(pairwise.dpo, beta=0.1)
    self.assertIsNone(objective.refuse_parts(whole, 4))

  def test_marking_does_not_change_the_function(self):
    @objective.coupled
    def double(x):
      return 2.0 * x

    self.assertEqual(double(3.0), 6.0)
    with self.assertRaisesRegex(ValueError, 'double'):
      objective.refuse_parts(double, 2)

  def test_a_config_refuses_when_it_is_written(self):
    with self.assertRaisesRegex(ValueError, 'aot_unpaired'):
      objective.Config(objective=transport.aot_unpaired, micro_batches=2)
    objective.Config(objective=transport.aot_unpaired)
