"""Who may speak to Rune, and as whom."""
