"""How good the autonomy is on judged data, measured on tenants that it has not seen."""
