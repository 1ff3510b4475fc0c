"""Where a job can run: one protocol, EC2 and this computer behind it."""
