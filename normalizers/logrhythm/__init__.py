"""LogRhythm SIEM: alarms of the alarm API, with their events and without, and the events of one alarm."""
