"""People over the machine: judging, raising and withdrawing levels, drawing samples, planting canaries."""
