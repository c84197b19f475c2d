"""Expand by extension: the embedded engine of the expand tool."""
