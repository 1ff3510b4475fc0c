"""Systems Manager: agents, Run Command, parameters and secrets."""
