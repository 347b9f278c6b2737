"""Jobs on Kubernetes from any machine, through the user's own kubectl: submitted, followed, listed, cancelled."""
