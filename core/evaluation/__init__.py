"""Segmentation scores, attribution statistics, faithfulness, sanity checks."""
