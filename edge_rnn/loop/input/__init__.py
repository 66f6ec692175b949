"""Input of a loop: reader threads, the ring of samples, conversion, checks of rate and range."""
