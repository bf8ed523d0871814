"""Parts of the Jacobian page."""
