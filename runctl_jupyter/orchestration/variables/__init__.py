"""Variables of the notebook on their way to a machine and back, and exceptions on their way back."""
