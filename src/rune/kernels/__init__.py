"""The Python twins of the Rust kernels: the same output for every input. `native.py` chooses which of the two runs."""
