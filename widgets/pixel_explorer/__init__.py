"""Parts of the Pixel Explorer."""
