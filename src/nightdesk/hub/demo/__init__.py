"""The demonstration: two nights between which the EDR is swapped, and the days in which a rule earns to close."""
