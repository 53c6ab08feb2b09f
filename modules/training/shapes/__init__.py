"""The shipped checkpoint: scenes drawn by formula, the three networks trained on them, and the measurement of the result."""
