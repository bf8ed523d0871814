"""Which methods are right, over many images: targets drawn by a seed, every metric, intervals, verdicts."""
