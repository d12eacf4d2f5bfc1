"""What an integration may import: errors, verbs, ports, manifest, records, secrets, HTTP client, test kit."""
