"""What templates do with contents, told from their text."""

from absl.testing import parameterized

from rlhf_jax.data import chat_syntax, chat_templates
from tests.data import families


def loop(body):
  """A template that does so with each message."""
  return f'{{% for m in messages %}}{body}{{% endfor %}}'


class OnlyWritesTest(parameterized.TestCase):
  @parameterized.parameters(
    chat_templates.SPEAKERS.jinja,
    families.MISTRAL,
    families.LLAMA_3,
    families.GEMMA,
    families.PHI_3,
    families.chatml("{{- 'You help.' }}"),
    '{{ messages[-1].content.strip() }}',
    "{{ messages[0]['content'].rstrip('\n') ~ 'x' }}",
    "{{ (m.role + messages[1:][0].content) | trim if m else 'x' }}",
    '{% set a = messages[2:] %}{% for m in a if m.role %}{{ m.content }}'
    '{% endfor %}',
    '{% if messages[0].content is string and messages|length > 1 %}{% endif %}',
    '{% set said = messages[0].content %}{% set also = said %}{{ also }}',
  )
  def test_what_only_writes_contents(self, source):
    self.assertTrue(chat_syntax.only_writes(source))

  @parameterized.parameters(
    families.LLAMA_2,  # Compares what the system says with false.
    families.DEEPSEEK,  # Looks for </think>.
    families.chatml(think=True),
    *map(
      loop,
      (
        '{% if m.content %}{% endif %}',
        "{% if m.content in 'ab' %}{% endif %}",
        "{% if 'ab' ~ m.content == 'abc' %}{% endif %}",
        "{{ 'x' if m.content != 'y' }}",
        '{{ m.content[0] }}',
        '{{ m.content | upper }}',
        '{{ m.content.upper() }}',
        "{{ m.content.strip('a') }}",
        "{{ m.content | trim('a') }}",
        '{{ m.content|length }}',
        "{{ '%.3s' % m.content }}",
        '{{ m | tojson }}',
        '{{ m.items() }}',
        "{{ m.get('content') }}",
        '{{ m[x] }}',
        '{{ m.content * 2 }}',
        '{{ loop.previtem.content }}',
        '{{ loop.changed(m.content) }}',
        '{{ raise_exception(m.content) }}',
        '{% for letter in m.content %}{% endfor %}',
        '{% for field in m %}{{ m[field] }}{% endfor %}',
        '{% set x = namespace(y=m.content) %}',
        '{% set x.y = m.content %}',
        '{% set x, y = m.content %}',
        '{% set x %}{{ m.content }}{% endset %}',
        '{% set m = m.content %}',
        '{% filter upper %}{{ m.content }}{% endfilter %}',
        '{% with x = m.content %}{% endwith %}',
        '{% set x = m.content %}{% if x %}{% endif %}',
      ),
    ),
    '{{ messages }}',
    '{{ messages | tojson }}',
    '{{ messages.pop().content }}',
    "{{ messages | map(attribute='content') | join }}",
    '{% for m in messages | reverse %}{{ m.content }}{% endfor %}',
    '{{ messages[messages[0].content | length].role }}',
    '{% macro f(x) %}{{ x }}{% endmacro %}{{ f(messages[0].content) }}',
  )
  def test_what_may_do_more(self, source):
    self.assertFalse(chat_syntax.only_writes(source))

  def test_texts_that_a_template_may_look_for(self):
    source = families.DEEPSEEK + "{{ 'not' ~ ' this' }}"
    found = chat_syntax.looked_for(source)
    self.assertIn('</think>', found)
    self.assertNoCommonElements(found, ('not', ' this', '<｜User｜>'))
