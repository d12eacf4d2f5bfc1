"""The open normaliser that ours is measured beside: stix-shifter, in a virtual environment of its own."""
