"""Reader of Keras models, in memory or from files."""
