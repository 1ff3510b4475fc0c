"""The only room that imports boto3: sessions, EC2, SSM. Translates AWS errors into ours."""
