"""What the plots show, read back from the figures, and that texts stay apart.

Of win rates and of reward learning; `report_test` draws the others.
"""

import itertools
import pathlib
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from matplotlib import figure, text
from matplotlib.backends import backend_agg

from experiments.readings import reward_learning_plots
from rlhf_jax.evaluation import (
  drawing,
  plots,
  statistics,
)

CONFIDENCES = np.array([0.2, 0.5, 0.5, 0.5, 0.9, 0.9, 1.0, 0.5])
MARKS = drawing.MARKERS
RIGHT = np.array([0, 1, 0, 1, 1, 1, 1, 1], bool)


def estimate(value, half=0.05):
  return statistics.Estimate(value, half / 2, value - half, value + 2 * half)


def drawn(plot, *arguments):
  """The figure that a plot writes, laid out; the file is a PNG."""
  pages = []

  def keep(page, *file, **layout):
    pages.append(page)
    save(page, *file, **layout)

  save = figure.Figure.savefig
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'plot.png'
    with mock.patch.object(figure.Figure, 'savefig', keep):
      plot(path, *arguments)
    assert path.read_bytes().startswith(b'\x89PNG'), 'not a PNG'
  (page,) = pages
  backend_agg.FigureCanvasAgg(page).draw()
  return page


def overlapping(page):
  """Pairs of texts that lie over each other, and texts beyond the page."""
  boxes = [(t.get_text(), t.get_tightbbox()) for t in shown_texts(page)]
  pairs = itertools.combinations(boxes, 2)
  over = [(a[0], b[0]) for a, b in pairs if a[1].overlaps(b[1])]
  whole = page.bbox.padded(1)
  return over + [
    name
    for name, box in boxes
    if not (whole.contains(*box.min) and whole.contains(*box.max))
  ]


def shown_texts(page):
  """Every text of a page but for ticks' beyond the ends of their axis."""
  hidden = set()
  for panel in page.axes:
    for axis in (panel.xaxis, panel.yaxis):
      low, high = sorted(axis.get_view_interval())
      for tick in axis.get_major_ticks():
        if not (panel.axison and low <= tick.get_loc() <= high):
          hidden |= {tick.label1, tick.label2}
  found = set(page.findobj(text.Text)) - hidden
  return [t for t in found if t.get_visible() and t.get_text().strip()]


def intervals(panel):
  """{label: (points [N, 2], bars' ends [N, 2, 2])} of error bars."""
  result = {}
  for container in panel.containers:
    if hasattr(container, 'has_yerr'):
      points, _, (bars,) = container.lines
      shown = np.zeros((0, 2)) if points is None else points.get_xydata()
      result[container.get_label()] = shown, np.array(bars.get_segments())
  return result


class WinRatesTest(absltest.TestCase):
  def test_rows_are_kinds_and_the_whole_is_on_top(self):
    page = drawn(
      plots.win_rates_by_kind,
      {
        'spg': {
          'sum': estimate(0.6),
          'all prompts': estimate(0.5),
          'add': estimate(0.4),
        },
        'uml': {'add': estimate(0.7)},
      },
      'ppo',
    )
    (panel,) = page.axes
    rows = [label.get_text() for label in panel.get_yticklabels()]
    self.assertEqual(rows, ['all prompts', 'add', 'sum'])
    found = intervals(panel)
    points, bars = found['spg']
    by_row = dict(zip(np.rint(points[:, 1]), points[:, 0], strict=True))
    self.assertEqual(by_row, {0: 0.5, 1: 0.4, 2: 0.6})
    np.testing.assert_allclose(
      bars[:, :, 0] - points[:, :1], [[-0.05, 0.1]] * 3
    )
    (point,), _ = found['uml']
    self.assertEqual((point[0], np.rint(point[1])), (0.7, 1))
    self.assertIn('ppo', panel.get_xlabel())
    self.assertEqual(overlapping(page), [])

  def test_without_the_whole_there_is_no_line_under_it(self):
    rates = {'spg': {'add': estimate(0.4), 'sum': estimate(0.6)}}
    (panel,) = drawn(plots.win_rates_by_kind, rates, 'ppo').axes
    self.assertEqual(levels(panel), [])
    rates['spg']['all prompts'] = estimate(0.5)
    (panel,) = drawn(plots.win_rates_by_kind, rates, 'ppo').axes
    self.assertEqual(levels(panel), [0.5])


class AccuracyTest(parameterized.TestCase):
  def test_points_stand_over_their_policy(self):
    page = drawn(
      reward_learning_plots.accuracy_by_policy,
      {
        'before': {'sft': estimate(0.7), 'ppo': estimate(0.6)},
        'after': {'ppo': estimate(0.65), 'rlp': estimate(0.62)},
      },
    )
    (panel,) = page.axes
    names = [label.get_text() for label in panel.get_xticklabels()]
    self.assertEqual(names, ['sft', 'ppo', 'rlp'])
    found = intervals(panel)
    for model, places, values in (
      ('before', [0, 1], [0.7, 0.6]),
      ('after', [1, 2], [0.65, 0.62]),
    ):
      points, bars = found[model]
      np.testing.assert_array_equal(np.rint(points[:, 0]), places)
      np.testing.assert_allclose(points[:, 1], values)
      np.testing.assert_allclose(
        bars[:, :, 1] - points[:, 1:], [[-0.05, 0.1]] * 2
      )
    # Of one policy, side by side.
    self.assertLess(found['before'][0][1, 0], found['after'][0][0, 0])
    # Chance is marked.
    self.assertEqual(levels(panel), [0.5])
    self.assertEqual(overlapping(page), [])

  @parameterized.parameters((9, 6), (2, 8), (1, 1))
  def test_many_models_and_long_names(self, count, others):
    policies = [f'a policy with a long name {i}' for i in range(others)]
    models = [f'reward model of the longest name {i}' for i in range(count)]
    page = drawn(
      reward_learning_plots.accuracy_by_policy,
      {m: {p: estimate(0.6) for p in policies} for m in models},
    )
    self.assertEqual(overlapping(page), [])
    points = [line for line in page.axes[0].lines if line.get_marker() in MARKS]
    self.assertLen(points, count)
    # Colour and marker together tell all of them apart.
    looks = {(line.get_marker(), line.get_color()) for line in points}
    self.assertLen(looks, count)


class AcceptanceTest(parameterized.TestCase):
  def test_curve_is_the_share_of_that_confidence_or_more(self):
    page = drawn(reward_learning_plots.acceptance, CONFIDENCES, RIGHT)
    curve, points = page.axes[0].lines
    self.assertEqual(curve.get_drawstyle(), 'steps-pre')
    steps, heights = np.array(curve.get_data())
    for c in np.linspace(0, 1, 101):
      c -= 1e-9  # A step holds left of its end, with its end.
      height = heights[np.searchsorted(steps, c)]
      self.assertAlmostEqual(height, np.mean(c <= CONFIDENCES))
    np.testing.assert_allclose(
      points.get_xydata(), [[0.2, 1], [0.5, 7 / 8], [0.9, 3 / 8], [1, 1 / 8]]
    )

  def test_nothing_is_left_above_the_highest(self):
    page = drawn(reward_learning_plots.acceptance, CONFIDENCES[:6], RIGHT[:6])
    steps, heights = page.axes[0].lines[0].get_data()
    self.assertEqual((steps[-1], heights[-1]), (1.0, 0.0))

  def test_bars_are_the_share_right(self):
    page = drawn(reward_learning_plots.acceptance, CONFIDENCES, RIGHT)
    panel = page.axes[1]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in panel.patches]
    np.testing.assert_allclose(centres, [0.2, 0.5, 0.9, 1.0])
    heights = [bar.get_height() for bar in panel.patches]
    np.testing.assert_allclose(heights, [0.0, 0.75, 1.0, 1.0])
    self.assertEqual([t.get_text() for t in panel.texts], list('1421'))
    foot = panel.transData.transform((0.0, 0.0))[1]
    for count in panel.texts:
      self.assertLess(count.get_window_extent().y1, foot)
    ((_, bars),) = intervals(panel).values()
    expected = [statistics.wilson(*x) for x in ((0, 1), (0.75, 4), (1, 2))]
    np.testing.assert_allclose(bars[:3, :, 1], expected, atol=1e-6)
    self.assertEqual(overlapping(page), [])

  def test_many_confidences_are_gathered(self):
    generator = np.random.default_rng(0)
    confidences = 1.0 - generator.random(40_000)
    page = drawn(
      reward_learning_plots.acceptance,
      confidences,
      generator.random(40_000) < confidences,
    )
    panel = page.axes[1]
    self.assertLen(panel.texts, 21)
    counts = [int(t.get_text()) for t in panel.texts]
    self.assertEqual(sum(counts), 40_000)
    np.testing.assert_allclose(counts[1:-1], 2000, rtol=0.1)
    for bar in panel.patches:
      centre = bar.get_x() + bar.get_width() / 2
      self.assertAlmostEqual(bar.get_height(), centre, delta=0.06)
    self.assertEqual(overlapping(page), [])

  @parameterized.named_parameters(
    ('uneven', np.ones(3), np.ones(2), 'not both'),
    ('percent', np.array([50.0]), np.ones(1), 'share'),
    ('not_a_number', np.array([np.nan]), np.ones(1), 'share'),
  )
  def test_refuses(self, confidences, right, message):
    with self.assertRaisesRegex(ValueError, message):
      drawn(reward_learning_plots.acceptance, confidences, right)


class ThresholdTest(absltest.TestCase):
  def test_a_panel_a_quantity(self):
    thresholds = [0.0, 0.5, 0.9]
    page = drawn(
      reward_learning_plots.by_threshold,
      thresholds,
      {
        'pair_accuracy': [0.6, 0.7, np.nan],
        'kept': [1.0, 0.6, 0.1],
        'a quantity that is named at very great length': [1.0, 2.0, 3.0],
        'win_rate': [0.5, 0.6, 0.4],
      },
      {'pair_accuracy': [0.5, 0.65, np.nan]},
      {'pair_accuracy': [0.7, 0.8, np.nan]},
    )
    accuracy, kept, _, _ = [a for a in page.axes if a.axison]
    self.assertEqual(accuracy.get_title('left'), 'pair accuracy')
    np.testing.assert_array_equal(
      accuracy.lines[0].get_xydata(), [[0.0, 0.6], [0.5, 0.7], [0.9, np.nan]]
    )
    (band,) = accuracy.collections
    corners = band.get_paths()[0].vertices
    self.assertEqual(
      set(map(tuple, corners.tolist())),
      {(0.0, 0.5), (0.5, 0.65), (0.5, 0.8), (0.0, 0.7)},
    )
    self.assertEmpty(kept.collections)
    # Panels compare at sight, though one quantity ends earlier.
    self.assertEqual(accuracy.get_xlim(), kept.get_xlim())
    self.assertLess(kept.get_xlim()[0], 0.0)
    self.assertGreater(kept.get_xlim()[1], 0.9)
    self.assertEqual(overlapping(page), [])


def levels(panel):
  """Heights of the lines that cross a whole panel."""
  return [
    float(line.get_ydata()[0])
    for line in panel.lines
    if list(line.get_xdata()) == [0, 1] and np.ptp(line.get_ydata()) == 0
  ]


if __name__ == '__main__':
  absltest.main()
