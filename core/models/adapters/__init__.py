"""Networks of other libraries, one file for each kind of checkpoint."""
