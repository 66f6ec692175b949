"""Writers of models as graphs of other formats."""
