"""The account: users, roles and profiles, and how they reach EC2."""
