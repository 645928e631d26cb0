"""A stop comes at once, but for what is held."""

from absl.testing import absltest

from rlhf_jax.training import stopping


class StoppingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    stopping.reset()
    self.addCleanup(stopping.reset)

  def test_comes_at_once(self):
    with self.assertRaises(KeyboardInterrupt):
      stopping.ask()

  def test_waits_for_what_is_held(self):
    with stopping.held():
      with stopping.held():
        stopping.ask()
      stopping.ask()
      done = True
    self.assertTrue(done)
    with self.assertRaises(stopping.Stopped):
      stopping.check()

  def test_nothing_is_held_after_an_error(self):
    with self.assertRaises(ValueError), stopping.held():
      raise ValueError
    with self.assertRaises(stopping.Stopped):
      stopping.ask()

  def test_without_one_nothing_stops(self):
    stopping.check()


if __name__ == '__main__':
  absltest.main()
