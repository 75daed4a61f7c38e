"""The kinds of sources, one file or folder each. No source imports another."""
