"""The only room that imports the object-store library: buckets, transfer, code sync, conditional writes."""
