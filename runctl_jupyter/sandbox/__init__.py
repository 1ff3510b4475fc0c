"""AWS in a box: a local process that answers as EC2, SSM, IAM, STS and S3 do, with real processes as instances.

It imports nothing else of `runctl_jupyter`. The engine talks to it as it talks to AWS, over HTTP with boto3;
the contract is ``connection.json`` (`runctl_jupyter.sandbox.connection`).
"""
