"""Entry points to compiled code: from Python, from users' compiled loops, and the cache of images."""
