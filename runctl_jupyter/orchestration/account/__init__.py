"""The AWS account: what it allows, what it lacks, and what `setup` makes in it."""
