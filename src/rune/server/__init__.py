"""The rim that faces clients: frames come in, a Handler is asked, frames go out."""
