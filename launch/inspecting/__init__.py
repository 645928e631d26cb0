"""What `launch.inspect` says of a dataset, a part each."""
