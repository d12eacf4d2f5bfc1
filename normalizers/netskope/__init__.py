"""Netskope: alerts of the REST API, of every type, and the incidents of data loss prevention."""
