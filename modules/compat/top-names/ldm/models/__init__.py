"""`ldm.models`."""
