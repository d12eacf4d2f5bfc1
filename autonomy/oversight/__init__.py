"""How people watch the machine: judgements, samples of what it closed, canaries, and alarms of drift."""
