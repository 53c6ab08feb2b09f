"""`sgm.models`."""
