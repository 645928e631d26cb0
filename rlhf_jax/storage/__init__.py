"""Atomic writing of files, and checksums of what was written."""
