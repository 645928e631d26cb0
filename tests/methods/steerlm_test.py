"""SteerLM's data: who rates, what is asked for, and what is learnt from."""

import collections
import functools

from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.data import templates, tokens
from rlhf_jax.data.encoding import encode
from rlhf_jax.data.limits import Limits
from rlhf_jax.feedback import annotating
from rlhf_jax.feedback.attributes import Scale, Steering
from rlhf_jax.generation import draws
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import attribute_writer, steerlm
from rlhf_jax.types import Comparison, Demonstration, Rated
from tests.methods.fake_queries import FakeQueries, prompt

SCALE = Scale(names=('quality', 'humor'))
A, B, C = map(prompt, 'abc')
# What the model says of a text: its first two numbers, unrounded.
RATINGS = {'good': (3.6, 0.5), 'bad': (-1.0, 1.5), 'odd': (7.0, 2.5)}


def text(quality, humor):
  return f'<extra_id_2>quality:{quality},humor:{humor}\n'


def given(asked, condition, response):
  return Demonstration(asked._replace(condition=condition), response)


def fake(texts=(), **options):
  return FakeQueries(texts, ratings=RATINGS.__getitem__, **options)


def annotated(records, queries=None, **options):
  config = steerlm.Annotation(scale=SCALE, **options)
  return steerlm.annotate(records, queries or fake().queries, config=config)


class AnnotationTest(parameterized.TestCase):
  def test_any_response_is_given_its_predicted_ratings(self):
    records = [
      Rated(A, 'good', (0.0, 4.0)),  # People's ratings give way.
      Comparison(B, ('odd', 'bad')),
      Demonstration(C._replace(condition=text(1, 1)), 'bad'),
    ]
    # Clipped to 0 to 4, then rounded, halves to the even level.
    self.assertEqual(
      annotated(records),
      [
        given(A, text(4, 0), 'good'),
        given(B, text(4, 2), 'odd'),
        given(B, text(0, 2), 'bad'),
        given(C, text(0, 2), 'bad'),
      ],
    )

  def test_peoples_ratings_as_they_are(self):
    records = [
      Rated(A, 'good', (0.0, 4.0)),
      Rated(B, 'bad', (None, 1.5)),
      Rated(C, 'odd', (None, None)),
    ]
    self.assertEqual(
      annotated(records, rate=annotating.by_people),
      [
        given(A, text(0, 4), 'good'),
        given(B, '<extra_id_2>humor:2\n', 'bad'),
      ],
    )

  def test_peoples_ratings_off_the_scale_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'quality:9 is not on the scale'):
      annotated([Rated(A, 'good', (9.0, 0.0))], rate=annotating.by_people)

  def test_a_writer_is_asked_greedily_and_must_write_all(self):
    work = fake(
      [['quality:3,humor:1'], ['quality:3'], ['humor:1,quality:3'], ['?']]
    )
    records = [
      Demonstration(A, 'good'),
      Comparison(B, ('odd', 'bad')),
      Rated(C, 'bad', (1.0, 1.0)),
    ]
    self.assertEqual(
      annotated(records, work.queries, rate=annotating.by_writer),
      [given(A, text(3, 1), 'good')],
    )
    self.assertEqual(work.sampled, [(1, Sampling(draw=draws.greedy))])
    (asked,) = work.asked
    self.assertEqual(
      [p.condition for p in asked],
      [f'{said}\n<extra_id_2>' for said in ('good', 'odd', 'bad', 'bad')],
    )

  def test_without_attributes_the_same_responses(self):
    records = annotated([Rated(A, 'good', ()), Comparison(B, ('odd', 'bad'))])
    self.assertEqual(
      steerlm.strip(records, None, config=steerlm.Responses()),
      [Demonstration(A, 'good'), Demonstration(B, 'odd')]
      + [Demonstration(B, 'bad')],
    )

  def test_stages_name_who_rates(self):
    for rate, frozen, policy in (
      (annotating.by_model, {'attributes': 'm'}, None),
      (annotating.by_writer, {}, 'm'),
      (annotating.by_people, {}, None),
    ):
      (stage,) = steerlm.annotation_stages(
        steerlm.Annotation(scale=SCALE, rate=rate), rater='m'
      ).values()
      self.assertEqual((stage.frozen, stage.policy), (frozen, policy))


class WriterTest(absltest.TestCase):
  def test_learns_the_string_after_response_and_marker(self):
    records = [
      Rated(A, 'good', (3.0, 0.0)),
      Rated(B, 'bad', (None, 2.5)),
      Rated(C, 'odd', (None, None)),
    ]
    self.assertEqual(
      attribute_writer.build(
        records, None, config=attribute_writer.Labels(scale=SCALE)
      ),
      [
        given(A, 'good\n<extra_id_2>', 'quality:3,humor:0'),
        given(B, 'bad\n<extra_id_2>', 'humor:2'),
      ],
    )

  def test_is_no_policy_to_be_measured(self):
    (stage,) = attribute_writer.stages(
      attribute_writer.Config(steps=1)
    ).values()
    self.assertEqual(stage.produces, 'attributes')


class BootstrapTest(parameterized.TestCase):
  RECORDS = (
    given(A, text(4, 0), 'w'),
    given(A, text(4, 1), 'x'),
    given(B, text(3, 3), 'y'),
    given(B, text(4, 1), 'z'),
  )

  def run_with(self, texts, records=RECORDS, **options):
    config = steerlm.Bootstrap(scale=SCALE, **options)
    work = fake(texts, seeds=range(len(records)))
    return work, steerlm.bootstrap(records, work.queries, config=config)

  def test_learns_predicted_ratings_not_requested_ones(self):
    work, own = self.run_with([['good', 'bad'], ['odd']])
    # Every response was asked for at quality 4.
    self.assertLen(own, 3)
    for record in own:
      self.assertIn(record.prompt.condition, (text(4, 0), text(4, 1)))
    annotation = steerlm.Annotation(scale=SCALE)
    self.assertEqual(
      steerlm.annotate(own, work.queries, config=annotation),
      [
        given(A, text(4, 0), 'good'),
        given(A, text(0, 2), 'bad'),
        given(B, text(4, 2), 'odd'),
      ],
    )
    self.assertEqual(work.sampled, [(4, Sampling(temperature=1.0, top_k=50))])

  def test_samples_are_asked_for_as_the_config_says(self):
    sampling = Sampling(temperature=0.5)
    work, _ = self.run_with([['good'], []], samples=7, sampling=sampling)
    self.assertEqual(work.sampled, [(7, sampling)])

  def test_each_prompt_is_asked_once_on_a_best_combination(self):
    work, _ = self.run_with([[], []])
    (asked,) = work.asked
    self.assertEqual([p.messages for p in asked], [A.messages, B.messages])
    for one in asked:
      self.assertIn(one.condition, (text(4, 0), text(4, 1)))

  def test_combinations_are_drawn_alike(self):
    records = [given(prompt(str(i)), text(4, i % 2), 'x') for i in range(400)]
    # One combination of quality 3 occurs, and must not be asked for.
    records += [given(prompt('400'), text(3, 0), 'x')]
    work, _ = self.run_with([[]] * 401, records)
    counts = collections.Counter(p.condition for p in work.asked[0])
    self.assertEqual(set(counts), {text(4, 0), text(4, 1)})
    # Four standard deviations of 401 coins.
    self.assertLess(abs(counts[text(4, 0)] - 200.5), 4 * 10.0)

  def test_how_often_a_combination_occurs_does_not_count(self):
    config = steerlm.Bootstrap(scale=SCALE)
    values = [{'quality': 4, 'humor': 0}] * 9 + [{'quality': 4, 'humor': 3}]
    self.assertEqual(steerlm.best(values, config), [values[0], values[-1]])

  def test_without_the_top_level_the_highest_that_occurs(self):
    config = steerlm.Bootstrap(scale=SCALE, quality=('quality', 'humor'))
    values = [
      {'quality': 3, 'humor': 1},
      {'quality': 1, 'humor': 3},
      {'quality': 4, 'humor': 0},
      {'quality': 2, 'humor': 1},
      {'quality': 3},
    ]
    self.assertEqual(
      steerlm.best(values, config), [values[1], values[0], values[2]]
    )

  def test_nothing_that_ended_is_nothing_learnt(self):
    _, found = self.run_with([['…good'], []])
    self.assertEqual(found, [])

  def test_data_without_attributes_are_refused(self):
    with self.assertRaisesRegex(ValueError, "one to 'c' has no attributes"):
      self.run_with([], [Demonstration(C, 'x')])

  def test_quality_has_to_be_an_attribute(self):
    with self.assertRaisesRegex(ValueError, "no attribute 'helpfulness'"):
      steerlm.Bootstrap(scale=SCALE, quality=('helpfulness',))


class IdsTest(parameterized.TestCase):
  @parameterized.parameters('words', 'pieces')
  def test_training_and_inference_read_the_same_ids(self, kind):
    asked = sandbox.prompts()[0]
    tokenizer = sandbox.tokenizer(sandbox.CONDITION_WORDS)
    template, spelling = templates.PLAIN, sandbox.spell
    if kind == 'pieces':
      texts = [asked.text, text(4, 2), 'it is 8 .'] * 9
      tokenizer = tokens.train_bpe(texts, vocab_size=300)
      template, spelling = templates.CHAT, None
    scale = Scale(names=('politeness', 'verbosity'), spelling=spelling)
    response = 'it is 8 .'
    work = FakeQueries(ratings=lambda text: (4.0, 2.0))
    trained = steerlm.annotate(
      [Demonstration(asked, response)],
      work.queries,
      config=steerlm.Annotation(scale=scale),
    )
    wanted = Steering(scale=scale, values={'verbosity': 2, 'politeness': 4})
    read = functools.partial(
      encode,
      tokenizer=tokenizer,
      template=template,
      limits=Limits(max_prompt_tokens=200, max_response_tokens=50),
    )
    (trained,), _ = read(trained)
    (inference,), _ = read([asked._replace(condition=wanted.text)])
    self.assertEqual(trained.prompt_ids, inference.prompt_ids)
    # The response alone is learnt, and the condition comes right before it.
    plain = tokenizer.encode(response) + [tokenizer.eos_id]
    self.assertEqual(trained.response_ids, (plain,))
    condition = tokenizer.encode(wanted.text)
    self.assertEqual(trained.prompt_ids[-len(condition) :], condition)
    self.assertEqual(
      scale.conditioned_on(tokenizer.decode(condition)), wanted.values
    )


if __name__ == '__main__':
  absltest.main()
