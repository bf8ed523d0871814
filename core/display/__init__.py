"""Colours, scales, figures and words on screen."""
