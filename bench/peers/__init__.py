"""The same tool on the SDKs of others. They run in environments of their own and import nothing of Rune."""
