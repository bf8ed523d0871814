"""Parts of the page of class activation maps."""
