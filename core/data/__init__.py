"""Reading images, masks and data sets from files."""
