"""Who may do what: the permissions that requests need, and what policies say to that."""
