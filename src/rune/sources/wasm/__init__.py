"""WebAssembly components."""
