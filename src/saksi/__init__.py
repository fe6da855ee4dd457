"""saksi: an independent witness for AI training runs."""

__version__ = "0.1.0"
__all__ = ["__version__"]
