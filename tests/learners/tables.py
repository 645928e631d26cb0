"""One ragged batch for all learners, and an update held to its definition."""

import dataclasses

import jax
import numpy as np
import optax

from rlhf_jax.training import state as training
from rlhf_jax.types import Demonstrations
from tests import toy
from tests.learners import definitions

END = toy.EOS
KEY = jax.random.key(2)
POLICY = toy.POLICY.init(jax.random.key(0))
REFERENCE = toy.POLICY.init(jax.random.key(1))

# Prompts of one to three tokens. The third row has no second response, the
# fourth twice the same one, and the fifth only fills the batch.
HEADS = ((0, 1, 1), (1,), (0, 0), (1, 0, 1), (1, 1), (0,))
LISTS = (
  [(1, 0, END), (0, END)],
  [(END,), (1, 1, 0)],
  [(0, 0, END)],
  [(1, END), (1, END)],
  [(0, 1, 0), (1, 1, END)],
  [(0, END), (1, 0, 0)],
)
WEIGHT = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 2.0])
MARGINS = np.array([0.5, 1.0, 3.0, 0.25, 2.0, 0.75])
SCORES = np.array(
  [[2.0, 0.5], [1.0, -1.0], [-0.5, 0.0], [0.25, 0.0], [3.0, 1.0], [0.5, 0.25]]
)
TARGETS = ((1, END), (0, 0, 1), (END,), (1, 1, END), (0, END), (0, 1, END))


def table(params):
  return np.asarray(params['embedding'], np.float64)


def float32(x):
  return np.asarray(x, np.float32)


def batch(lists=LISTS, **fields):
  """Comparisons of the lists above."""
  known = {'weight': float32(WEIGHT), 'margins': float32(MARGINS)}
  return toy.compared(HEADS, lists, **(known | fields))


def demonstrations(texts, **fields):
  """Demonstrations of one response, or none, to each prompt."""
  told = toy.compared(HEADS, [[text] for text in texts])
  return Demonstrations(
    tokens=told.tokens[:, 0],
    attention_mask=told.attention_mask[:, 0],
    response_mask=told.response_mask[:, 0],
    **fields,
  )


def updated(learner, config, given, *, params, frozen, extra=(), models=None):
  """What one step of plain descent says: gradients, metrics, state."""
  optimizer = optax.sgd(1.0)
  state = training.create(params, optimizer, extra)
  moved, metrics = learner.update(
    state,
    frozen,
    given,
    KEY,
    models=models or toy.MODELS,
    optimizer=optimizer,
    config=config,
  )
  grads = jax.tree.map(
    lambda a, b: np.float64(a) - np.float64(b), params, moved.params
  )
  return grads, metrics, moved


def hold(test, found, expected, slope):
  """Compares an update with the terms, metrics and slope of a definition.

  Args:
    test: the test case.
    found: (gradient as one array, metrics) of the learner.
    expected: (terms, metrics) as in `definitions`.
    slope: what the gradient is by central differences.
  """
  (gradient, metrics), (terms, told) = found, expected
  norm = float(np.sqrt((slope**2).sum()))
  said = dict(told) | {'gradient_norm': (norm, 1.0)}
  said |= {f'loss/{name}': mean for name, (_, *mean) in terms.items()}
  test.assertEqual(set(metrics), set(said))
  for name, (total, weight) in said.items():
    np.testing.assert_allclose(
      [metrics[name].total, metrics[name].weight],
      [total, weight],
      rtol=2e-4,
      atol=2e-5,
      err_msg=name,
    )
  np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=2e-5)
  test.assertGreater(norm, 1e-3)


def of_table(definition, params=POLICY):
  """[V, V] slope of a definition's objective in the toy policy's logits."""
  here = table(params)
  inside = here > -1e8
  return definitions.slope(
    lambda moved: definitions.objective_of(definition(moved)[0]), here, inside
  )


def every_field_is_moved(test, kind, configs):
  """Each field of a config differs from its default in one of `configs`."""
  for field in dataclasses.fields(kind):
    test.assertTrue(
      any(getattr(c, field.name) != field.default for c in configs),
      f'{kind.__module__}.{field.name} has no row in this table',
    )
