"""What a request is: the services there are, signatures, the model of each operation, errors in its words."""
