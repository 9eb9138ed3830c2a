"""WorkerPools: a Deployment for each (pure), how many workers it should have (pure), and the controller."""
