"""What looks at everything that passes through Rune; each file is one plugin."""
