"""What runs on the machine: starts, watches, logs, uploads, ends one attempt of a job.

Shares only `runctl_jupyter.run_record` with the engine. Standard library only and Python 3.9 syntax: it
travels as a small archive to a machine that has some ``python3`` and nothing else that is certain.
"""
