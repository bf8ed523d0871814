"""Is the explanation true: controls, faithfulness, sanity checks, localisation, the benchmark."""
