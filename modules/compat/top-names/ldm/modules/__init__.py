"""`ldm.modules`."""
