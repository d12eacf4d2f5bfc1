"""nightdesk: one hub between a company's security products."""

__all__ = ["__version__"]

__version__ = "0.1.0"
