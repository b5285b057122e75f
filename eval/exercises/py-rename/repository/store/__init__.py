"""A store of records in lines of text."""

from .records import fetch_all, save

__all__ = ["fetch_all", "save"]
