"""SentinelOne: threats of the agents, custom detection (STAR) alerts as such and as activities, and unified alerts."""
