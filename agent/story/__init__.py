"""A call's records as people read them: its path, its ladder, its diagnoses, and the side at fault."""
