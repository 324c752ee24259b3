"""What makes and fits the model of tier 2. Needs the extra `ml`; nothing of it is imported where tables are judged."""
