"""Training on data in Arrow or Parquet files."""
