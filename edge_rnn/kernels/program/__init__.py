"""Program of a stream: records of its operations and the functions that run them on each sample."""
