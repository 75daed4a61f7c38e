"""The rim that faces upstreams: wires, URLs and eras. Sources and the public client are built on it."""
