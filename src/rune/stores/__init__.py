"""Stores that outlive a process, one file each."""
