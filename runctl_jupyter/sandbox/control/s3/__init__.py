"""S3 on disk: objects, their listing, answers."""
