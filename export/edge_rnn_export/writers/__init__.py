"""Writers of models to graph formats."""
