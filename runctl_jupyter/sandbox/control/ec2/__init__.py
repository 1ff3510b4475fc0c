"""EC2: launches, machines over time, Spot, fleets, volumes, quotas; refusing what EC2 refuses."""
