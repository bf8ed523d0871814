"""How well a network segments."""
