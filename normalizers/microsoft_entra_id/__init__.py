"""Microsoft Entra ID: risk detections and risky users, of Graph and as Azure Monitor exports them."""
