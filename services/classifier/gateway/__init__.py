"""What the classifier touches outside: the sentence model of tier 3, where its parts are installed."""
