"""The package `k_diffusion`, as far as extensions use it."""
