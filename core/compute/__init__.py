"""Memory, Dask, and work on many images."""
