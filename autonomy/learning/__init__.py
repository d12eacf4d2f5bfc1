"""What is learnt from judged groups of alerts: features, model, calibration."""
