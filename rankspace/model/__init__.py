"""The selector network: torch starts here."""
