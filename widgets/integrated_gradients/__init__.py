"""Parts of the page of Integrated Gradients."""
