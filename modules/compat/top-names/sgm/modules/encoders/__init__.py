"""`sgm.modules.encoders`."""
