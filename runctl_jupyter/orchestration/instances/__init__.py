"""EC2 instances of ours: launch, life cycle, listing."""
