"""`ldm.modules.encoders`."""
