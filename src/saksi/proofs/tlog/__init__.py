"""The transparency log: tree, tiles, signed notes, log checkpoints, cosignatures, proofs."""
