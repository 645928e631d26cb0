"""Memory of log-probs at a vocabulary of 151,936: compiled, never run."""

import chex
import jax
import jax.numpy as jnp
from absl.testing import parameterized

from rlhf_jax.kernels import chunked_logps, distributions

GIB = 2**30


def plain(hidden, unembedding, targets):
  logits = jnp.einsum('btd,dv->btv', hidden, unembedding)
  return distributions.token_logps(logits, targets)


def both(hidden, unembedding, targets):
  return sum(
    distributions.fused_token_logps_and_entropies(hidden, unembedding, targets)
  )


def of_a_tied_table(hidden, table, targets):
  return distributions.fused_token_logps(hidden, table.T, targets)


def held(form, hidden, unembedding, dtype=jnp.float32):
  """Bytes held besides arguments and outputs, by the value and gradients."""

  def loss(hidden, unembedding, targets, weights):
    return jnp.sum(weights * form(hidden, unembedding, targets))

  shape = jax.ShapeDtypeStruct
  step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(
    shape(hidden, dtype),
    shape(unembedding, dtype),
    shape(hidden[:-1], jnp.int32),
    shape(hidden[:-1], jnp.float32),
  )
  return step.compile().memory_analysis().temp_size_in_bytes


class MemoryTest(chex.TestCase):
  @parameterized.parameters(
    (distributions.fused_token_logps, (1024, 151_936), 0.3),
    (both, (1024, 151_936), 0.3),
    # Its table is transposed, and so is its gradient: 0.58 GiB each.
    (of_a_tied_table, (151_936, 1024), 1.2),
  )
  def test_a_large_vocabulary_fits(self, form, unembedding, most):
    # Of 0.25 GiB that are kept from the forward pass, and a few chunks. The
    # gradient of the unembedding, an output, has no second copy.
    self.assertLess(held(form, (4, 1024, 1024), unembedding), most * GIB)

  def test_the_plain_form_would_not(self):
    # So that the bound above says something: the logits alone are 2.3 GiB.
    size = held(plain, (4, 1024, 1024), (1024, 151_936))
    self.assertGreater(size, 4 * GIB)

  def test_memory_does_not_grow_with_the_vocabulary(self):
    # Only the gradient of the unembedding does: here by 16 MiB.
    size = [held(both, (2048, 64), (64, v)) for v in (2**16, 2**17)]
    gradient = 4 * 64 * 2**16
    self.assertLess(size[1] - size[0], 1.1 * gradient)
    # What is kept, in four bytes each, and a few arrays as large as a chunk.
    kept = chunked_logps.KEPT_LOGITS + 4 * chunked_logps.CHUNK_LOGITS
    self.assertLess(size[0] - gradient, 4 * kept)

  def test_what_is_small_is_held(self):
    def program(rows):
      shape = jax.ShapeDtypeStruct
      return str(
        jax.make_jaxpr(distributions.fused_token_logps)(
          shape((rows, 4), jnp.float32),
          shape((4, 2**13), jnp.float32),
          shape((rows,), jnp.int32),
        )
      )

    self.assertEqual(distributions.PLAIN_LOGITS, 2**25)
    self.assertNotIn('scan', program(2**12))
    self.assertIn('scan', program(2**12 + 1))
