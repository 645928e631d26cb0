"""Numbers of a config are traced; everything else of it is static."""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized
from jax.sharding import NamedSharding, PartitionSpec

from rlhf_jax import sharding
from rlhf_jax.training.compile import (
  jitted,
  join_config,
  make_room,
  run_by,
  split_config,
)


@flax.struct.dataclass
class Cuts:
  top_p: float | None = None


@dataclasses.dataclass(frozen=True)
class Inner:
  rate: float = 0.5


@dataclasses.dataclass(frozen=True)
class Config:
  coef: float
  size: int = 2
  shape: object = jnp.tanh
  inner: Inner = Inner()
  cuts: Cuts = Cuts()

  def __post_init__(self):
    if self.coef <= 0:
      raise ValueError('coef must be positive')


class CompileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.traces = 0

    def function(x, *, config, factor):
      self.traces += 1
      y = config.shape(config.coef * x) * config.inner.rate * factor
      return y if config.cuts.top_p is None else y + config.cuts.top_p

    self.call = jitted(function)

  def test_another_may_be_given_what_would_run(self):
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    seen = []

    def note(program, *given, **named):
      seen.append(program.trace(*given, **named))
      return 'noted'

    with run_by(note):
      found = self.call(x, config=Config(1.0), factor=2)
    self.assertEqual(found, 'noted')
    (traced,) = seen
    self.assertEqual(traced.fun_name, 'function')
    self.assertEqual(traced.out_info.shape, (3,))
    # And no longer.
    self.call(jnp.ones(3), config=Config(1.0), factor=2)
    self.assertLen(seen, 1)

  def test_values_do_not_recompile(self):
    x = jnp.array(0.3)
    for coef in (1.0, 2.0, 3.0):
      for rate in (0.5, 0.25):
        config = Config(coef, inner=Inner(rate))
        self.assertAlmostEqual(
          self.call(x, config=config, factor=2),
          float(jnp.tanh(coef * 0.3)) * rate * 2,
          places=6,
        )
    self.assertEqual(self.traces, 1)

  def test_a_0_stays_a_number_and_compiles_anew(self):
    seen = []

    def function(x, *, config):
      seen.append(config.inner.rate)
      return x * config.inner.rate

    call = jitted(function)
    for rate in (0.5, 0.0, 0.25, 0.0):
      found = call(jnp.array(3.0), config=Config(1.0, inner=Inner(rate)))
      self.assertEqual(found, 3.0 * rate)
    self.assertLen(seen, 2)
    self.assertIsInstance(seen[0], jax.core.Tracer)
    self.assertEqual(seen[1], 0.0)
    self.assertIsInstance(seen[1], float)

  def test_what_is_not_a_number_does(self):
    x = jnp.array(0.3)
    self.call(x, config=Config(1.0), factor=1)
    self.call(x, config=Config(1.0, size=3), factor=1)
    self.call(x, config=Config(1.0, shape=jnp.sin), factor=1)
    self.call(x, config=Config(1.0, cuts=Cuts(0.9)), factor=1)
    self.assertEqual(self.traces, 4)
    self.call(x, config=Config(1.0, cuts=Cuts(0.8)), factor=1)
    self.assertEqual(self.traces, 4)

  def test_splitting_and_joining_is_the_identity(self):
    config = Config(2.0, inner=Inner(0.125), cuts=Cuts(0.75))
    blank, values = split_config(config)
    self.assertIsNone(blank.coef)
    self.assertEqual(set(values), {('coef',), ('inner', 'rate'), ('cuts',)})
    self.assertEqual(join_config(blank, values), config)

  def test_a_config_can_be_vmapped(self):
    coefs = jnp.array([1.0, 2.0])
    many = jax.vmap(
      lambda coef: self.call(
        jnp.array(0.3),
        config=join_config(Config(1.0), {('coef',): coef}),
        factor=1,
      )
    )(coefs)
    for coef, value in zip(coefs, many, strict=True):
      self.assertAlmostEqual(value, 0.5 * jnp.tanh(coef * 0.3), places=6)

  def test_a_function_is_compiled_once_for_all_callers(self):
    self.assertIs(jitted(_noop), jitted(_noop))
    self.assertIsNot(jitted(_noop), jitted(_noop, donate=(0,)))

  @parameterized.parameters(('fsdp', None), (None, 'fsdp'))
  def test_what_is_donated_comes_back_where_it_lay(self, *axes):
    mesh = sharding.make_mesh({'fsdp': 8})
    lies = NamedSharding(mesh, PartitionSpec(*axes))
    state = jax.device_put(jnp.arange(64.0).reshape(8, 8), lies)
    # Left to itself, the sum would lie as the batch does.
    batch = jax.device_put(
      jnp.ones((8, 8)), NamedSharding(mesh, PartitionSpec('fsdp'))
    )
    call = jitted(_summed, donate=(0,))
    with jax.set_mesh(mesh):
      state, total = call(state, batch, config=Config(1.0))
    self.assertEqual(state.sharding.spec, lies.spec)
    self.assertEqual(total, 65 * 64 / 2)


def _noop(x, *, config):
  del config
  return x


def _summed(state, batch, *, config):
  del config
  state = state + batch
  return state, jnp.sum(state)


def power(x, *, base=2.0, exponent=1.0, times=1, then=jnp.abs):
  return then(base * x**exponent) * times


def other(x, *, base=2.0, exponent=1.0):
  return x - base - exponent


@dataclasses.dataclass(frozen=True)
class Method:
  objective: Callable
  inner: object = None


class PartialTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.traces = 0

    def function(x, *, config):
      self.traces += 1
      y = config.objective(x)
      return y if config.inner is None else y + config.inner.objective(x)

    self.call = jitted(function)

  def value(self, objective, inner=None):
    """At x = 3, and how often anything was traced until now."""
    found = self.call(jnp.array(3.0), config=Method(objective, inner))
    return float(found), self.traces

  def test_a_bound_number_does_not_recompile(self):
    # Each is a partial of its own: equal ones have to hash alike.
    for base in (0.1, 0.3, 2.0):
      for exponent in (1.0, 2.0):
        found, traces = self.value(
          functools.partial(power, base=base, exponent=exponent)
        )
        self.assertAlmostEqual(found, float(base) * 3.0**exponent, places=5)
    self.assertEqual(traces, 1)

  def test_the_order_of_binding_does_not_matter(self):
    for options in (
      {'base': 3.0, 'exponent': 2.0},
      {'exponent': 2.0, 'base': 3.0},
    ):
      self.assertEqual(
        self.value(functools.partial(power, **options)), (27.0, 1)
      )

  def test_whatever_else_is_bound_is_static(self):
    bind = functools.partial
    cases = [
      (bind(power, base=2.0), 6.0),
      (bind(power, base=2.0, times=2), 12.0),
      (bind(power, base=2.0, times=3), 18.0),
      (bind(power, base=2.0, then=jnp.negative), -6.0),
      (bind(other, base=2.0), 0.0),
      (bind(power, exponent=2.0), 18.0),
      (power, 6.0),
    ]
    for count, (objective, expected) in enumerate(cases, start=1):
      self.assertEqual(self.value(objective), (expected, count))
    for objective, expected in cases:  # As often as you like.
      again = objective
      if isinstance(objective, bind):
        again = bind(objective.func, **objective.keywords)
      self.assertEqual(self.value(again), (expected, len(cases)))

  def test_numbers_are_found_inside_other_configs(self):
    for base in (1.0, 2.0):
      inner = Method(functools.partial(power, base=base, times=2))
      objective = functools.partial(power, base=10.0 * base)
      self.assertEqual(self.value(objective, inner), (36.0 * base, 1))

  def test_values_are_named_by_their_path(self):
    config = Method(
      functools.partial(power, base=1.5, times=2),
      Method(functools.partial(other, exponent=0.25)),
    )
    blank, values = split_config(config)
    self.assertEqual(
      values,
      {('objective', 'base'): 1.5, ('inner', 'objective', 'exponent'): 0.25},
    )
    self.assertEqual(hash(blank), hash(split_config(config)[0]))
    joined = join_config(blank, values)
    for then, now in (
      (config.objective, joined.objective),
      (config.inner.objective, joined.inner.objective),
    ):
      self.assertIs(now.func, then.func)
      self.assertEqual(now.keywords, then.keywords)
      self.assertEqual(now.args, ())
      self.assertEqual(now(3.0), then(3.0))

  def test_a_partial_of_no_numbers_comes_back(self):
    blank, values = split_config(Method(functools.partial(power, times=4)))
    self.assertEmpty(values)
    objective = join_config(blank, values).objective
    self.assertEqual(objective.keywords, {'times': 4})

  def test_partials_of_places_are_static_as_they_are(self):
    objective = functools.partial(power, 5.0, base=2.0)
    blank, values = split_config(Method(objective))
    self.assertIs(blank.objective, objective)
    self.assertEmpty(values)

  def test_gradients_reach_a_bound_number(self):
    def at(base):
      config = Method(functools.partial(power, base=base))
      return self.call(jnp.array(3.0), config=config)

    self.assertAlmostEqual(float(jax.grad(at)(2.0)), 3.0, places=6)


class RoomTest(parameterized.TestCase):
  @parameterized.parameters((8, False), (9, True))
  def test_programs_are_dropped_where_half_is_mapped(self, mapped, dropped):
    traced = []

    @jax.jit
    def double(x):
      traced.append(x)
      return 2 * x

    double(1.0)
    self.assertEqual(make_room(self.process('16', mapped)), dropped)
    double(1.0)
    self.assertLen(traced, 1 + dropped)

  def test_a_process_has_as_many_maps_as_lines(self):
    self.assertEqual(make_room(self.process('0', 1)), True)
    self.assertEqual(make_room(self.process('0', 0)), False)

  def test_where_nothing_is_told_of_maps_nothing_is_dropped(self):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    folder = pathlib.Path(folder)
    self.assertEqual(make_room(folder), False)

  def process(self, most, mapped):
    """A folder as Linux has it: the most maps of a process, and its maps."""
    folder = self.enterContext(tempfile.TemporaryDirectory())
    folder = pathlib.Path(folder)
    for name, content in (
      ('sys/vm/max_map_count', f'{most}\n'),
      ('self/maps', '7f00-7f01 r--p 00000000 00:00 0\n' * mapped),
    ):
      (folder / name).parent.mkdir(parents=True)
      (folder / name).write_text(content)
    return folder


if __name__ == '__main__':
  absltest.main()
