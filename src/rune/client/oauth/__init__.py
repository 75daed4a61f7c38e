"""The OAuth client of upstream servers: `session.py` is the Auth that the wires ask, the rest are its parts."""
