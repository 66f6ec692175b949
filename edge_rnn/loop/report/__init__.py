"""Reports of a loop: counters, latency histogram, journal, status file."""
