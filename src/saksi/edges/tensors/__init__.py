"""Tensors in files, by name, form and digest: safetensors and torch's zip files, read without torch."""
