"""What goes wrong because somebody said so."""
