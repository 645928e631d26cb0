"""Judging responses: rewards, preferences, rankings, attributes, judges."""
