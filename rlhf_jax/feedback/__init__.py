"""Who says what of responses: scores, pairs, ranks, levels, verdicts."""
