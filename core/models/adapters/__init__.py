"""Networks in the formats of other libraries, one file for each; what they need is imported where it is used."""
