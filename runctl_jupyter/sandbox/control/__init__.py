"""The control plane of the sandbox: moto's backends, made to behave as AWS does and to drive real hosts."""
