"""From one layout of checkpoints into the other: the original single file, and the folder of diffusers."""
