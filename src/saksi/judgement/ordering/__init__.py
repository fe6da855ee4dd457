"""The order in which a sampler of torch's hands out its samples, worked out from what it was given."""
