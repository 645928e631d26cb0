"""Files that are whole or not there, and that are what was written."""
