"""Settings become objects here, one table for each thing: rules, sources, sinks, and the check of all."""
