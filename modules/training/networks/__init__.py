"""Extra networks: LoRAs and embeddings trained beside a model that stays as it is, and written as other trainers write them."""
