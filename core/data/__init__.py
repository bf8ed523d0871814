"""Images, data-set layouts and synthetic phantoms."""
