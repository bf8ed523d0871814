"""What the Plotly figures of all pages share."""

NO_BAR = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
"""Plotly's buttons without those that do nothing here."""
