"""Evidence that metrics of several files are read off."""

from ..removals import SubsetSettings, sample_removals
from .registry import Evidence

UNCHANGED = Evidence(lambda tested: tested.runs.unchanged, images=lambda _settings: 1, is_shared=True)
"""Scores of the image as it is."""
REMOVALS = Evidence(
    lambda tested: sample_removals(tested.runs, **vars(tested.settings.of(SubsetSettings))),
    images=lambda settings: settings.of(SubsetSettings).n_subsets,
    is_shared=True,
    needs=(UNCHANGED,),
)
"""Random sets of pixels taken away: the network runs once on them, however many maps there are."""
