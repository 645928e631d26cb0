"""Stand-ins come out where a template puts contents."""

from absl.testing import parameterized

from rlhf_jax.data import stand_ins
from rlhf_jax.data.chat_jinja import ChatTemplateError


def places(located, text):
  """For each content, the characters of the text that are its own."""
  owners = located.image.translate(located.owners)
  return {
    k: ''.join(
      c for c, owner in zip(text, owners, strict=True) if owner == name
    )
    for k, name in enumerate(map(stand_ins.owner, range(3)))
    if name in owners
  }


class LocateTest(parameterized.TestCase):
  def locate(self, render, said, looked_for=()):
    text = render(said)
    return text, stand_ins.locate(text, said, render, looked_for=looked_for)

  @parameterized.named_parameters(
    ('whole', lambda s: f'<{s[0]}|{s[1]}>', {0: 'ab', 1: 'abc'}),
    (
      'trimmed',
      lambda s: s[0].strip() + '\n' + s[1].rstrip(),
      {0: 'ab', 1: 'abc'},
    ),
    ('merged', lambda s: f'[{s[1]}{s[0]}]', {0: 'ab', 1: 'abc'}),
    ('left_out', lambda s: f'ab {s[1]} ab', {1: 'abc'}),
    ('cut', lambda s: f'{s[0][:2]}-{s[1][2:]}', {0: 'a', 1: 'bc'}),
    ('twice', lambda s: f'{s[0]},{s[0]}', {0: 'abab'}),
  )
  def test_finds_the_characters_of_contents(self, render, expected):
    text, located = self.locate(render, [' ab', 'a bc\n'])
    self.assertEqual(places(located, text), expected)
    self.assertEqual(located.image.translate(located.characters), text)

  def test_what_a_template_looks_for_stays_where_it_looks(self):
    def render(said):
      return '|'.join([said[0], said[1].split('</b>')[-1]])

    text, located = self.locate(
      render, ['a</b>c', 'd</b>e<f>'], looked_for=('</b>', '<f>')
    )
    self.assertEqual(text, 'a</b>c|e<f>')
    # The first content is not looked into, nor the second for '<f>'.
    self.assertEqual(places(located, text), {0: 'a</b>c', 1: 'e<f>'})

  @parameterized.parameters(
    str.upper, lambda text: text[::-1] + str(ord(text[0]))
  )
  def test_other_changes_are_not_followed(self, change):
    _, located = self.locate(lambda said: change(said[0]), ['ab'])
    self.assertIsNone(located)

  def test_a_refusal_of_stand_ins_is_no_rendering(self):
    def render(said):
      if said[0] != 'ab':
        raise ChatTemplateError('I want ab')
      return said[0]

    self.assertIsNone(self.locate(render, ['ab'])[1])

  def test_says_when_there_are_not_enough_stand_ins(self):
    alphabet = [chr(c) for c in range(0x100, 0x2F000) if chr(c).isprintable()]
    self.assertGreater(2 * len(alphabet), stand_ins.LAST - stand_ins.FIRST)
    with self.assertRaisesRegex(
      ChatTemplateError, 'too many different characters'
    ):
      self.locate(''.join, [''.join(alphabet)] * 2)
