"""Generation in compiled code: choice of the next symbol, and the loop that feeds it back."""
