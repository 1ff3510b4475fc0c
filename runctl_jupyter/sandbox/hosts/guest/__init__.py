"""Programs that run inside a sandbox machine: its first process and the commands a real image would have.

They are copied onto the machine's disk and started with the machine's own interpreter, so each is one
file and imports only the standard library.
"""
