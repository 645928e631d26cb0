"""Stages that write datasets: what they are handed, and what breaks off."""

import dataclasses
import functools
import pathlib
import tempfile
import types
import weakref
from unittest import mock

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from scipy import special

from rlhf_jax import sandbox
from rlhf_jax.data import record_lines as lines
from rlhf_jax.experiment import (
  ExperimentError,
  Limits,
  dataset_writing,
  running,
  text_reading,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import (
  DatasetStage,
  Ensemble,
  RecordBatch,
  parameter_sources,
)
from rlhf_jax.storage import files
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Mean,
  Message,
  Prompt,
  Prompts,
  Rated,
  Response,
)
from tests.experiment import small

BATCH = 8
ROLES = {'reward_model': 'reward', 'ranker': 'ranker'}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  count: int | None = None
  batch_size: int | None = BATCH


class Noted(sandbox.World):
  """A world that notes something of its files."""

  def load(self, folder):
    return super().load(folder)._replace(notes=('f.jsonl: read as it is',))


def prompt_of(record):
  return record if isinstance(record, Prompt) else record.prompt


def numbered(records, queries, *, config):
  """A pair of each record, that shows the record's own seed."""
  del config
  pairs = zip(records, queries.seeds, strict=True)
  return [Comparison(prompt_of(r), (f'{seed}', 'worse')) for r, seed in pairs]


def several(records, queries, *, config):
  """The i-th record of a turn gives i comparisons."""
  del queries, config
  return [
    Comparison(prompt_of(record), (f'{i}', f'{j}'), margin=i / 4)
    for i, record in enumerate(records)
    for j in range(i)
  ]


def spread(scores, *, coef):
  return jnp.mean(scores, axis=0) - coef * jnp.abs(scores[0] - scores[1])


def nothing(records, queries, *, config):
  del records, queries, config
  return []


def half_of_nothing(records, queries, *, config):
  del queries, config
  kept = Mean.of(jnp.arange(len(records)) % 2)
  return RecordBatch([], {'half': kept})


class Hinted(Config):
  def when_none(self, facts, *, own, drawing):
    return f'{facts["half"]} of it {own} {drawing}'


def sampled(records, queries, *, config):
  """Two samples of the policy, better and worse by the reward."""
  del config
  pairs = queries.sample(samples=2, sampling=Sampling(temperature=1.0))
  made = [
    Comparison(prompt_of(r), tuple(p))
    for r, p in zip(records, pairs, strict=True)
  ]
  return [
    c._replace(responses=tuple(c.responses[i] for i in np.argsort(-s)))
    for c, s in zip(made, queries.score(made), strict=True)
  ]


class StageTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = pathlib.Path(folder.name)

  def chain(
    self,
    build=numbered,
    config=None,
    *,
    at='a',
    devices=1,
    data='demonstrations',
    others=None,
    **stage,
  ):
    """A chain whose stage 'made' runs `build`."""
    made = DatasetStage(
      build=build, config=config or Config(), data=data, **stage
    )
    stages = (others or {}) | {'made': made}
    return small.chain(self.root / at, stages, devices=devices)

  def records(self, chain):
    """Runs the stage. Returns what it wrote."""
    running.run_stage(chain, 'made')
    return chain.data.records('made')

  def queries(self, **stage):
    chain = self.chain(**stage)
    return chain, self.queries_of(chain)

  def queries_of(self, chain):
    examples, _ = chain.data.encode(chain.data.records('demonstrations'))
    return small.queries(chain, 'made', examples).batch(0)[1]


class WritingTest(StageTest):
  def test_records_are_handed_on_whole(self):
    turns = []

    def build(records, queries, *, config):
      turns.append(records)
      return numbered(records, queries, config=config)

    chain = self.chain(build)
    self.records(chain)
    handed = [record for turn in turns for record in turn]
    self.assertEqual(handed, list(chain.data.records('demonstrations')))
    self.assertIsInstance(handed[0], Demonstration)

  def test_without_a_count_goes_once_through_the_data(self):
    turns = []

    def build(records, queries, *, config):
      turns.append((len(records), len(queries.seeds)))
      return numbered(records, queries, config=config)

    chain = self.chain(build)
    written = self.records(chain)
    self.assertEqual(turns, [(8, 8), (8, 8), (4, 4)])
    expected = [d.prompt.messages for d in chain.data.records('demonstrations')]
    self.assertEqual([c.prompt.messages for c in written], expected)
    facts = chain.folders['made'].facts()
    self.assertEqual(facts['records'], small.RECORDS)

  def test_without_a_batch_size_all_is_seen_at_once(self):
    turns = []

    def build(records, queries, *, config):
      turns.append(len(records))
      return [Demonstration(prompt_of(records[-1]), 'all', 0.5)]

    chain = self.chain(
      build, Config(batch_size=None), data=('comparisons', 'demonstrations')
    )
    (written,) = self.records(chain)
    self.assertEqual(turns, [2 * small.RECORDS])
    last = chain.data.records('demonstrations')[-1]
    self.assertEqual(written.prompt.messages, last.prompt.messages)
    self.assertEqual(written[1:], ('all', 0.5))

  def test_data_may_be_several(self):
    chain = self.chain(data=('demonstrations', 'comparisons'))
    written = self.records(chain)
    expected = [
      *chain.data.records('demonstrations'),
      *chain.data.records('comparisons'),
    ]
    self.assertEqual(
      [c.prompt.messages for c in written],
      [prompt_of(r).messages for r in expected],
    )
    addresses = {
      stage_addresses(self.chain(data=data).experiment)['made']
      for data in (
        'demonstrations',
        ('demonstrations', 'comparisons'),
        ('comparisons', 'demonstrations'),
      )
    }
    self.assertLen(addresses, 3)

  def test_what_nothing_tells_apart_yet_is_handed_on(self):
    chain = self.chain(data='comparisons')
    first, second, *others = chain.data.records('comparisons')
    same = first._replace(responses=first.responses[:1] * 2)
    tied = second._replace(scores=(1.0, 1.0))
    chain = small.holding(chain, comparisons=[same, tied, *others])
    written = self.records(chain)
    asked = [first, second, *others]
    self.assertEqual(
      [c.prompt.messages for c in written], [c.prompt.messages for c in asked]
    )

  def test_what_is_left_out_is_told_and_kept(self):
    chain = self.chain(data='demonstrations')
    first, *others = chain.data.records('demonstrations')
    words = first.prompt.text.split() * small.LONG
    prompt = Prompt((Message('user', ' '.join(words)),))
    chain = small.holding(
      small.dropping(chain),
      demonstrations=[first._replace(prompt=prompt), *others],
    )
    self.assertLen(self.records(chain), len(others))
    self.assertEqual(chain.folders['made'].facts()['dropped_prompts'], 1)
    said = 'made  1 dropped prompt of more than 10 tokens\n'
    self.assertIn(said, chain.console.getvalue())

  def test_what_is_noted_of_the_files_is_printed(self):
    noted = Noted(demonstrations=small.RECORDS, comparisons=small.RECORDS)
    chain = small.chain(self.root / 'a', {}, data=noted)
    self.assertEqual(chain.corpus.notes, ('f.jsonl: read as it is',))
    self.assertEqual(
      chain.console.getvalue(), '         data  f.jsonl: read as it is\n'
    )

  def test_with_a_count_begins_anew_and_stops_there(self):
    chain = self.chain(config=Config(count=30))
    written = self.records(chain)
    asked = [d.prompt.messages for d in chain.data.records('demonstrations')]
    expected = (asked + asked)[:30]
    self.assertEqual([c.prompt.messages for c in written], expected)
    # What is asked twice has a seed of its own each time.
    self.assertLen({c.responses[0] for c in written}, 30)

  def test_seeds_and_samples_do_not_depend_on_the_batch(self):
    judged = {'policy': 'sft', 'frozen': {'reward': 'reward_model'}}
    for build, stage in ((numbered, {}), (sampled, judged)):
      written = [
        self.records(self.chain(build, Config(batch_size=size), **stage))
        for size in (8, 5)
      ]
      one, other = ([c.responses for c in records] for records in written)
      self.assertEqual(one, other)

  def test_a_record_may_give_several_comparisons(self):
    # 0 + 1 + … + 7 of each whole turn, and 0 + … + 3 of the last.
    written = self.records(self.chain(several))
    self.assertLen(written, 28 + 28 + 6)
    self.assertEqual([c.margin for c in written[:4]], [0.25, 0.5, 0.5, 0.75])
    fewer = self.records(self.chain(several, Config(count=30), at='fewer'))
    self.assertEqual([c[1:] for c in fewer], [c[1:] for c in written[:30]])

  def test_records_of_past_batches_are_on_disk_alone(self):
    alive, most, made = 0, 0, lines.row

    class Row(dict):
      """A line that can be watched."""

    def gone():
      nonlocal alive
      alive -= 1

    def row(record):
      nonlocal alive, most
      found = Row(made(record))
      weakref.finalize(found, gone)
      alive += 1
      most = max(most, alive)
      return found

    with mock.patch.object(lines, 'row', row):
      written = self.records(self.chain())
    self.assertLen(written, small.RECORDS)
    self.assertLessEqual(most, 2 * BATCH)
    self.assertGreater(small.RECORDS, 2 * BATCH)

  @parameterized.parameters(None, 30)
  def test_goes_on_where_it_broke_off(self, count):
    options = {'policy': 'sft', 'frozen': {'reward': 'reward_model'}}
    config = Config(count=count)
    turns = []

    def build(records, queries, *, config):
      turns.append(records)
      if len(turns) == 3:
        raise KeyboardInterrupt
      return sampled(records, queries, config=config)

    unbroken = self.chain(sampled, config, at='unbroken', **options)
    expected = self.records(unbroken)
    broken = self.chain(build, config, at='broken', **options)
    with self.assertRaises(KeyboardInterrupt):
      self.records(broken)
    folder = broken.folders['made']
    self.assertFalse(folder.done)
    self.assertFalse((folder.path / 'records.jsonl').exists())
    with (folder.path / 'records.partial.jsonl').open('a') as file:
      file.write('[{"messages": [{"role"')  # A line that a kill cut off.
    found = self.records(broken)
    self.assertEqual(
      (folder.path / 'records.jsonl').read_text(),
      (unbroken.folders['made'].path / 'records.jsonl').read_text(),
    )
    self.assertLen(found, len(expected))
    # The two turns that were kept are not done again.
    self.assertLen(turns, len(range(0, count or small.RECORDS, BATCH)) + 1)
    self.assertFalse((folder.path / 'records.partial.jsonl').exists())

  def test_facts_are_kept_beside_the_records(self):
    turns = []

    def build(records, queries, *, config):
      made = numbered(records, queries, config=config)
      turns.append(len(made))
      if len(turns) == 3:
        raise KeyboardInterrupt
      facts = {'seen': len(made), f'turn of {records[0].prompt.text}': 0.5}
      return RecordBatch(made, facts)

    chain = self.chain(build)
    with self.assertRaises(KeyboardInterrupt):
      self.records(chain)
    # What was found before it broke off is kept, too: 8, 8 and 4 records.
    self.assertLen(self.records(chain), small.RECORDS)
    facts = chain.folders['made'].facts()
    asked = [d.prompt.text for d in chain.data.records('demonstrations')]
    self.assertEqual(
      {
        name: fact
        for name, fact in facts.items()
        if name
        not in ('seconds', 'settings', 'layout', 'gold_agrees', 'checksum')
      },
      {'stage': 'made', 'records': 20, 'asked': 20, 'seen': 4}
      | {f'turn of {asked[place]}': 0.5 for place in (0, 8, 16)},
    )

  def test_embeddings_are_hidden_states_averaged_over_the_response(self):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 5, 4)).astype(np.float32)
    mask = np.array([[0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool)
    model = types.SimpleNamespace(hidden=lambda *_: jnp.array(states))
    batch = types.SimpleNamespace(
      tokens=None, attention_mask=None, response_mask=jnp.array(mask)
    )
    expected = [
      row[keep].mean(0) for row, keep in zip(states, mask, strict=True)
    ]
    found = text_reading.mean_hidden(model, {}, batch)
    np.testing.assert_allclose(found, expected, rtol=1e-6)

  def test_agreement_is_the_share_that_gold_ranks_alike(self):
    prompt = Prompt((Message('user', 'a'),))

    def gold(prompts, texts):
      self.assertEqual(set(prompts), {prompt})
      return np.array([float(text) for text in texts])

    # Right, wrong, equal, right; a list of three is no pair.
    pairs = [('2', '1'), ('1', '2'), ('1', '1'), ('5', '0'), ('3', '2', '1')]
    records = [Comparison(prompt, texts) for texts in pairs]
    found = dataset_writing.agreement(gold, [*records, prompt])
    self.assertEqual(found, {'gold_agrees': 0.625})
    with mock.patch.object(dataset_writing, 'MOST_AGREED', 3):
      self.assertEqual(dataset_writing.agreement(gold, records), found)
    self.assertEqual(dataset_writing.agreement(gold, [prompt]), {})
    self.assertEqual(dataset_writing.agreement(None, records), {})

  def test_comparisons_come_back_as_they_were(self):
    prompt = Prompt(
      (Message('user', 'one\u2028"two"'), Message('assistant', 'é')), 'sums'
    )
    written = [
      Comparison(prompt, ('a\nb', '', 'c'), 1.5, (0.1, -2.0, -1e-9)),
      Comparison(prompt, ('a',), target='imitate\nme'),
      Comparison(prompt, ('a', 'b'), target=''),
      Demonstration(prompt._replace(condition='c d '), 'said', 0.125),
      Rated(prompt._replace(answer='4'), 'said', (1.0, None)),
    ]
    path = self.root / 'records.jsonl'
    files.write_lines(path, map(lines.row, written))
    read = lines.Lines(path, '')
    self.assertEqual([c.prompt.where for c in read],
                     [f'{path}:{i}' for i in (1, 2, 3, 4, 5)])  # fmt: skip
    self.assertEqual(
      [c._replace(prompt=c.prompt._replace(where='')) for c in read], written
    )

  def test_scores_and_targets_reach_the_next_stage(self):
    def build(records, queries, *, config):
      del queries, config
      return [
        Comparison(r.prompt, ('1', '2'), 0.5, (2.0, 1.0), target=r.response)
        for r in records
      ]

    chain = self.chain(build)
    examples, _ = chain.data.encode(self.records(chain))
    batch = chain.data.batch(examples[:2], 2)
    np.testing.assert_array_equal(batch.scores, [[2.0, 1.0]] * 2)
    np.testing.assert_array_equal(batch.margins, [0.5, 0.5])
    decode = chain.corpus.tokenizer.decode
    for row, record in enumerate(chain.data.records('demonstrations')[:2]):
      ids = batch.targets.tokens[row][batch.targets.response_mask[row]]
      self.assertEqual(decode(np.asarray(ids).tolist()), record.response)

  def test_a_prompt_is_asked_without_what_its_record_has(self):
    chain = self.chain()
    prompt, response, _ = chain.data.records('demonstrations')[0]
    longest = ' '.join(response.split()[:1] * sandbox.MAX_RESPONSE_TOKENS)
    examples, _ = chain.data.encode(
      [
        prompt,
        Demonstration(prompt, longest),
        Comparison(prompt, (longest, response), target=longest),
      ]
    )
    batches = [chain.data.prompts([e], 5, 2) for e in examples]
    for batch in batches:
      self.assertIsInstance(batch, Prompts)
      self.assertEqual(batch.tokens.shape, (2, sandbox.max_prompt_tokens()))
      np.testing.assert_array_equal(batch.tokens, batches[0].tokens)
      np.testing.assert_array_equal(batch.index, [5, 6])


class JudgingTest(StageTest):
  """What the queries say, held to one response at a time, without padding."""

  def lists(self, chain, counts):
    texts = [d.response for d in chain.data.records('demonstrations')]
    prompts = [d.prompt for d in chain.data.records('demonstrations')]
    return [
      Comparison(prompts[i], tuple(texts[i : i + count]))
      for i, count in enumerate(counts)
    ]

  def ids(self, chain, prompt, *texts):
    (example,), _ = chain.data.encode([Comparison(prompt, texts)])
    rows = [example.prompt_ids, *example.response_ids]
    return np.array([sum(rows, [])], np.int32)

  def score_of(self, chain, role, ids):
    model = chain.models().reward
    return model.scores(small.params(role), ids, np.ones(ids.shape, bool))[0, 0]

  @parameterized.parameters(1, 8)
  def test_a_model_scores_lists_of_any_lengths(self, devices):
    chain, queries = self.queries(
      frozen={'reward': 'reward_model'}, devices=devices
    )
    counts = [1, 4, 2, 5, 3]  # 15 responses, in batches of 8.
    lists = self.lists(chain, counts)
    found = queries.score(lists)
    self.assertEqual([len(row) for row in found], counts)
    for i, k in ((0, 0), (1, 3), (3, 1), (4, 2)):  # Both batches, both ends.
      text = lists[i].responses[k]
      expected = self.score_of(
        chain, 'reward', self.ids(chain, lists[i].prompt, text)
      )
      self.assertAlmostEqual(found[i][k], expected, places=5)

  def test_a_program_scores_lists_of_any_lengths(self):
    chain, queries = self.queries(frozen={'reward': sandbox.gold})
    counts = [2, 1, 3]
    lists = self.lists(chain, counts)
    found = queries.score(lists)
    self.assertEqual([len(row) for row in found], counts)
    for c, row in zip(lists, found, strict=True):
      for text, score in zip(c.responses, row, strict=True):
        self.assertAlmostEqual(score, sandbox.gold([c.prompt], [text])[0], 5)

  @parameterized.parameters('reward_model', sandbox.gold)
  def test_of_nothing_there_are_no_scores(self, reward):
    _, queries = self.queries(frozen={'reward': reward})
    self.assertEqual(queries.score([]), [])

  def test_a_judge_does_not_see_the_condition(self):
    chain, queries = self.queries(frozen={'reward': 'reward_model'})
    plain = self.lists(chain, [3])
    asked = plain[0].prompt._replace(condition='no such word')
    (expected,), (found,) = map(
      queries.score, (plain, [plain[0]._replace(prompt=asked)])
    )
    np.testing.assert_array_equal(found, expected)

  def test_several_reward_models_score_as_one(self):
    members = ('reward_model', 'ranker')  # Two of different parameters.
    chain, queries = self.queries(
      frozen={'reward': Ensemble(members, functools.partial(spread, coef=2.0))},
      others=small.producing('ranker', 'reward'),
    )
    (asked,) = self.lists(chain, [5])
    (found,) = queries.score([asked])
    each = [
      [
        self.score_of(chain, ROLES[member], self.ids(chain, asked.prompt, text))
        for text in asked.responses
      ]
      for member in members
    ]
    expected = np.mean(each, axis=0) - 2.0 * np.abs(np.subtract(*each))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    stage = chain.experiment.stages['made']
    self.assertEqual(
      parameter_sources(stage),
      {'frozen reward 0': 'reward_model', 'frozen reward 1': 'ranker'},
    )

  def test_log_probs_of_whole_responses_by_two_policies(self):
    chain = self.chain(
      policy='sft',
      frozen={'reference': 'ranker'},
      others=small.producing('ranker', 'policy'),
    )
    own = small.params('policy')
    other = own | {'embedding': 2.0 * own['embedding']}
    chain.loaded['ranker'] = {'reference': other}
    lists = self.lists(chain, [2, 1, 2])
    cut = Response(lists[2].responses[1], ended=False)
    lists[2] = lists[2]._replace(responses=(lists[2].responses[0], cut))
    queries, policy = self.queries_of(chain), chain.models().policy
    for role, params in (('policy', own), ('reference', other)):
      found = queries.response_logps(lists, role)
      self.assertEqual([len(row) for row in found], [2, 1, 2])
      for i, k in ((0, 0), (1, 0), (2, 1)):
        (said,), _ = chain.data.encode(lists[i : i + 1])
        ids = np.array([said.prompt_ids + said.response_ids[k]], np.int32)
        hidden = policy.hidden(params, ids, np.ones(ids.shape, bool))
        logits = np.asarray(policy.logits(params, hidden), np.float64)[0]
        places = np.arange(len(said.prompt_ids), ids.shape[1])
        logps = special.log_softmax(logits, axis=-1)[places - 1, ids[0, places]]
        np.testing.assert_allclose(found[i][k], logps.sum(), atol=1e-3)
        # What was cut has no end to be counted, all others have.
        words = len(chain.corpus.tokenizer.encode(lists[i].responses[k]))
        self.assertLen(places, words + (i != 2))

  def test_ratings_are_all_scores_of_the_attribute_model(self):
    chain, queries = self.queries(
      frozen={'attributes': 'reward_model'},
      others=small.producing('reward_model', 'attributes'),
    )
    (asked,) = self.lists(chain, [3])
    prompts = [asked.prompt._replace(condition='no such word')] * 3
    found = queries.rate(prompts, asked.responses)
    self.assertEqual(found.shape, (3, 1))
    for row, text in zip(found, asked.responses, strict=True):
      expected = self.score_of(
        chain, 'reward', self.ids(chain, asked.prompt, text)
      )
      self.assertAlmostEqual(row[0], expected, 5)

  def test_a_ranker_reads_both_orders(self):
    chain, queries = self.queries(frozen={'ranker': 'ranker'})
    pairs = self.lists(chain, [2] * 11)
    found = queries.prefer(pairs)
    self.assertEqual(found.shape, (11,))
    for i in (0, 10):  # In the first batch and in the second.
      pair, odds = pairs[i], found[i]
      a, b = pair.responses
      one, other = (
        self.score_of(chain, 'ranker', self.ids(chain, pair.prompt, *texts))
        for texts in ((a, b), (b, a))
      )
      self.assertAlmostEqual(odds, 0.5 * (one - other), 5)
    swapped = [p._replace(responses=p.responses[::-1]) for p in pairs]
    np.testing.assert_allclose(queries.prefer(swapped), -found, atol=1e-6)
    self.assertEqual(queries.prefer([]).shape, (0,))

  def test_samples_are_the_policy_s_answers_to_the_records(self):
    chain, queries = self.queries(policy='sft')
    rows = queries.sample(samples=3, sampling=Sampling(temperature=1.0))
    self.assertEqual([len(row) for row in rows], [3] * BATCH)
    self.assertGreater(len({text for row in rows for text in row}), BATCH)
    again = queries.sample(samples=3, sampling=Sampling(temperature=1.0))
    self.assertEqual(rows, again)

  def test_memory_follows_max_rows_and_samples_do_not(self):
    chain, queries = self.queries(policy='sft')
    ask = {'samples': 3, 'sampling': Sampling(temperature=1.0)}
    rows, sizes = queries.sample(**ask), []
    sampler = chain.models().sampler

    def noting(params, prompts, key, **how):
      sizes.append((prompts.tokens.shape[0], how.get('at_a_time')))
      return sampler.sample(params, prompts, key, **how)

    models = chain.models()._replace(sampler=sampler._replace(sample=noting))
    chain = small.remade(chain, max_rows=7)
    with mock.patch.object(Run, 'models', lambda *_: models):
      limited = self.queries_of(chain)
      self.assertEqual(limited.sample(**ask), rows)
    self.assertEqual(sizes, [(BATCH, 2)])

  def test_samples_that_ended_or_of_other_prompts(self):
    chain, queries = self.queries(policy='sft')
    ask = functools.partial(
      queries.sample, samples=8, sampling=Sampling(temperature=1.0)
    )
    rows, ended = ask(), ask(ended=True)
    prompts = [
      prompt_of(r) for r in chain.data.records('demonstrations')[:BATCH]
    ]
    sampler = chain.models().sampler
    rollouts = sampler.sample(
      sampler.load(chain.trained.params('sft', 'policy')),
      chain.data.prompts(chain.data.encode(prompts)[0], 0, BATCH),
      chain.key('made'),
      samples=8,
      sampling=Sampling(temperature=1.0),
    )
    self.assertEqual(
      ended,
      [
        [text for text, whole in zip(*row, strict=True) if whole]
        for row in zip(rows, rollouts.ended, strict=True)
      ],
    )
    # Of an untrained policy some responses go on to the limit.
    self.assertLess(sum(map(len, ended)), 8 * BATCH)
    self.assertEqual(ask(prompts=prompts), rows)
    self.assertNotEqual(ask(prompts=prompts[::-1])[0], rows[0])

  @parameterized.parameters(
    (sampled, {}, "stage 'made' samples responses and names no policy"),
    (sampled, {'policy': 'sft'}, "stage 'made' asks a reward that it does not"),
    (
      lambda records, queries, *, config: queries.prefer([]),
      {},
      "stage 'made' asks a ranker that it does not name; give it frozen=",
    ),
    (nothing, {'policy': 'sft'}, "is 'sft' so sure that it answers the same"),
    (nothing, {}, "stage 'made' went over 168 records of 'demonstrations' and"),
  )
  def test_a_mistake_is_one_sentence(self, build, stage, said):
    chain = self.chain(build, Config(count=8), **stage)
    with self.assertRaisesRegex(ExperimentError, said) as caught:
      running.run_stage(chain, 'made')
    self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
    (Config(), "'made' wrote no record out of 20 of 'demonstrations': look at "
     'what stages.made.config keeps$'),
    (Hinted(), 'of .demonstrations.: 0.5 of it stages.made.config '
     'stages.demonstrations.config$'),
  )  # fmt: skip
  def test_a_stage_that_wrote_nothing_says_what_to_change(self, config, said):
    with self.assertRaisesRegex(ExperimentError, said):
      running.run_stage(self.chain(half_of_nothing, config), 'made')

  def test_prompts_too_long_to_be_judged_are_told(self):
    limits = Limits(
      max_prompt_tokens=1, max_response_tokens=8, overlong=drop_all
    )
    chain, _ = self.queries(frozen={'reward': 'reward_model'})
    queries = small.queries(small.remade(chain, limits=limits), 'made', [])
    with self.assertRaisesRegex(
      ValueError, "stage 'made': nothing is left of .* dropped prompt"
    ):
      queries.score(self.lists(chain, [2]))


def drop_all(parts, limit, where):
  del parts, limit, where


if __name__ == '__main__':
  absltest.main()
