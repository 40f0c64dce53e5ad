"""Public data sets, weights and models: fetched, checked, put in place."""
