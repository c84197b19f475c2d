"""pergai: a self-hosted inference server for product photography."""

__version__ = "0.1.0"
