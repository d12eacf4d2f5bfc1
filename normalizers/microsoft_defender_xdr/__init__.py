"""Microsoft Defender XDR: alerts and incidents of Graph, of its own API, and rows of the streaming API."""
