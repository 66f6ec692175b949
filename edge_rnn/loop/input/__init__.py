"""Input of a loop: reader threads, the sample ring, conversion, checks of rate and range."""
