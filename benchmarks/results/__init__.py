"""Every scenario as it stands: what the page and the plots of simulations/results are made of."""
