"""Numbers read off experiments that have been run.

Each is named after the experiment that it reads and prints its tables:
python -m experiments.readings.rso_labels 0 1 2, with the seeds that were run.
Where those were run with --set or --stages, it takes the same.
"""
