"""Carbon Black Cloud: alerts of the v7 API and the Data Forwarder, legacy alerts of the v6 API, and watchlist hits."""
