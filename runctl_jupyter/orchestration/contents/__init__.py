"""What is in a checkpoint, read by ranges: nothing is downloaded whole, nothing is unpickled, nothing of it is run."""
