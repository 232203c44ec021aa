"""The decisions of a run and the config file that records them."""
