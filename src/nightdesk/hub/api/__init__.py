"""The hub over HTTP: pushed alerts, health, metrics and the console; every call's tenant is its credential's."""
