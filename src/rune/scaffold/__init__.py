"""What `rune new` writes; the templates are data beside this file."""
