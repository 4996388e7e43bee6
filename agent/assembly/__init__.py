"""Makes objects from settings, one table for each thing: rules, sources, sinks, and the check of all."""
