"""The side that says how fast a core can be: float32 products of 2048³."""

import functools

import jax
import jax.numpy as jnp
import work

SIZE = 2048
FLOPS = 2 * SIZE**3


def main():
  gate = work.Gate()
  key = jax.random.key(0)
  left, right = jax.random.normal(key, (2, SIZE, SIZE), jnp.float32)
  product = jax.jit(jnp.matmul)
  gate.repeat(
    lambda: functools.partial(jax.block_until_ready, product(left, right))
  )


if __name__ == '__main__':
  main()
