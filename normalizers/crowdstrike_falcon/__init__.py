"""CrowdStrike Falcon: alerts of the API, detections and incidents of the event stream, and archived detections."""
