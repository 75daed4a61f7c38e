"""The tools that are served when there is nothing else to serve."""
