"""What a machine finds at link-local addresses: metadata, credentials, names."""
