"""Pictures that lie elsewhere than in a folder: in an object store, in tar and Parquet shards; listed in an index."""
